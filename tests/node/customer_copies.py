"""Puts copies of the newest customer and its wallet into a database, for measuring pages."""

import json
import os
import sqlite3
import sys
import time

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(raw):
    number = int.from_bytes(raw, "big")
    return "".join(DIGITS[number >> (5 * place) & 31] for place in reversed(range(26)))


def row(db, table, where, value):
    found = db.execute(f"SELECT * FROM {table} WHERE {where} = ? ORDER BY rowid DESC", [value])
    return dict(zip([column[0] for column in found.description], found.fetchone()))


def insert(db, table, values):
    marks = ", ".join("?" for _ in values)
    sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"
    return db.execute(sql, list(values.values())).lastrowid


def main(path, count):
    db = sqlite3.connect(path, timeout=60)
    wallet = db.execute("SELECT no, customer FROM wallets ORDER BY no DESC LIMIT 1").fetchone()
    customer_row = row(db, "customers", "no", wallet[1])
    wallet_row = row(db, "wallets", "no", wallet[0])
    balance = {"credits": 0, "held": 0, "sequence": 0, "entries": 0, "last": None, "machines": 0,
               "percent_base": None, "topups": None, "stopped": 0, "lots": b""}
    bodies = [
        json.loads(db.execute(
            "SELECT body FROM customer_versions WHERE customer = ? ORDER BY version DESC",
            [wallet[1]]).fetchone()[0]),
        json.loads(db.execute(
            "SELECT body FROM wallet_versions WHERE wallet = ? ORDER BY version DESC",
            [wallet[0]]).fetchone()[0]),
    ]
    for index in range(count):
        stamp = int(time.time() * 1000).to_bytes(6, "big")
        ids = [stamp + os.urandom(10), stamp + os.urandom(10)]
        name = f"Copy copy-{index}"
        del_no = {"no": None, "version": 1, "name": name, "external_id": f"copy-{index}"}
        customer = insert(db, "customers", {**customer_row, **del_no, "id": ids[0]})
        body = {**bodies[0], "id": "cust_" + ulid(ids[0]), "name": name,
                "external_id": f"copy-{index}"}
        insert(db, "customer_versions",
               {"customer": customer, "version": 1, "body": json.dumps(body)})
        for word in ("copy", str(index)):
            insert(db, "customer_words",
                   {"env": customer_row["env"], "word": word, "customer": customer})
        made = insert(db, "wallets",
                      {**wallet_row, "no": None, "version": 1, "id": ids[1], "customer": customer})
        body = {**bodies[1], "id": "wallet_" + ulid(ids[1]), "customer_id": "cust_" + ulid(ids[0])}
        insert(db, "wallet_versions", {"wallet": made, "version": 1, "body": json.dumps(body)})
        insert(db, "balances", {"wallet": made, **balance})
        if index % 5_000 == 4_999:
            db.commit()
    db.commit()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
