//! Reads the project's own sources and holds the rules of STYLE.md that no lint knows.
//! It reads text line by line, which is right for code that rustfmt has formatted; it never
//! changes a file.
#![expect(clippy::unwrap_used, reason = "a source that cannot be read must fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_WIDTH_MAX: usize = 100;
const BANNED_WORDS: [&str; 5] = ["service", "manager", "helper", "utils", "common"];
const CLOCK_HOME: &str = "crates/engine/src/clock.rs";
const WALL_CLOCKS: [&str; 4] = ["SystemTime::now", "Timestamp::now(", "Zoned::now(", "Utc::now("];

/// Which crates of ours each crate may know.
const ARROWS: [(&str, &[&str]); 6] = [
    ("domain", &[]),
    ("store", &["domain"]),
    ("engine", &["domain", "store"]),
    ("fakes", &["domain"]),
    ("server", &["domain", "store", "engine", "fakes"]),
    ("testkit", &["domain", "store", "engine", "fakes", "server"]),
];

/// Crates of others that would break what a crate of ours promises.
const FOREIGN: [(&str, &[&str]); 5] = [
    ("domain", &["tokio", "rusqlite", "axum", "hyper", "http", "reqwest", "getrandom", "tracing"]),
    ("store", &["axum", "hyper", "http", "reqwest", "getrandom"]),
    ("engine", &["rusqlite", "axum", "hyper", "http", "reqwest"]),
    ("fakes", &["rusqlite"]),
    ("server", &["rusqlite", "getrandom"]),
];

struct Source {
    /// Relative to the workspace, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        ["/tests/", "benches/", "/tests.rs"].iter().any(|part| self.path.contains(part))
    }

    /// The crate's folder name: `domain` for `crates/domain/src/lib.rs`.
    fn home(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }

    /// The numbered lines before the `mod tests` tail; none of a file that is all tests.
    fn code(&self) -> Vec<(usize, &str)> {
        if self.is_test() {
            return Vec::new();
        }
        let lines: Vec<&str> = self.text.lines().collect();
        let tail = lines
            .windows(2)
            .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"))
            .unwrap_or(lines.len());
        (1..).zip(lines.into_iter().take(tail)).collect()
    }

    /// The numbered lines of code that are not comments.
    fn statements(&self) -> Vec<(usize, &str)> {
        let mut lines = self.code();
        lines.retain(|(_, line)| !line.trim_start().starts_with("//"));
        lines
    }

    fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn sources() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    for folder in ["crates", "benches"] {
        collect(&root, &root.join(folder), &mut found);
    }
    assert!(found.len() >= 10, "the sources were not found under {}", root.display());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().unwrap() != "target" {
                collect(root, &path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            found.push(Source { path: relative, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

/// Fails with every violation, one a line, and what to do.
fn hold(violations: &[String], advice: &str) {
    assert!(violations.is_empty(), "\n{}\n-> {advice}\n", violations.join("\n"));
}

/// Every line of code, comments left out, for which `breaks` gives a reason.
fn hold_lines(breaks: impl Fn(&Source, &str) -> Option<String>, advice: &str) {
    let mut violations = Vec::new();
    for source in sources() {
        for (number, line) in source.statements() {
            if let Some(reason) = breaks(&source, line) {
                violations.push(source.at(number, &reason));
            }
        }
    }
    hold(&violations, advice);
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn starts_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let modifier =
        |word: &&str| ["pub", "const", "async"].contains(word) || word.starts_with("pub(");
    words.find(|word| !modifier(word)) == Some("fn")
}

/// How many lines the function that starts at the first line takes.
fn function_lines(lines: &[(usize, &str)]) -> usize {
    let first = lines[0].1;
    if first.ends_with(';') || first.ends_with('}') {
        return 1;
    }
    let ends = |line: &str| {
        let same = indent(line) == indent(first);
        same && (line.trim_start().starts_with('}') || (line.ends_with(';')))
    };
    lines.iter().skip(1).position(|(_, line)| ends(line)).map_or(lines.len(), |n| n + 2)
}

#[test]
fn files_stay_short() {
    let long = |source: &Source| {
        let lines = source.code().len();
        (lines > FILE_LINES_MAX).then(|| source.at(lines, "the file is too long"))
    };
    let violations: Vec<String> = sources().iter().filter_map(long).collect();
    hold(&violations, "split the file by noun: at most 600 lines without its tests");
}

#[test]
fn functions_stay_short() {
    let mut violations = Vec::new();
    for source in sources() {
        let code = source.code();
        for (index, (number, line)) in code.iter().enumerate() {
            let lines = if starts_function(line) { function_lines(&code[index..]) } else { 0 };
            if lines > FUNCTION_LINES_MAX {
                violations.push(source.at(*number, &format!("a function of {lines} lines")));
            }
        }
    }
    hold(&violations, "name its steps as functions: at most 70 lines, usually under 15");
}

#[test]
fn lines_stay_narrow() {
    let mut violations = Vec::new();
    for source in sources() {
        let code = source.code().len();
        for (number, line) in (1..).zip(source.text.lines()) {
            let string_in_test = number > code && (line.contains('"') || line.ends_with('\\'));
            if line.chars().count() > LINE_WIDTH_MAX && !string_in_test {
                violations.push(source.at(number, "the line is wider than 100 characters"));
            }
        }
    }
    hold(&violations, "break the line; only strings in tests may be wider");
}

#[test]
fn manifests_keep_the_arrows() {
    let mut violations = Vec::new();
    for (home, manifest) in manifests() {
        for (section, name) in dependencies(&manifest) {
            let known = name == "testkit" && section == "dev-dependencies";
            if !known && !may_know(&home, &name) {
                violations.push(format!("crates/{home}/Cargo.toml: [{section}] {name}"));
            }
        }
    }
    hold(&violations, "server -> engine -> store -> domain; see STYLE.md for what each may know");
}

#[test]
fn imports_keep_the_arrows() {
    let names: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    hold_lines(
        |source, line| {
            let path = line.trim_start().trim_start_matches("pub ").strip_prefix("use ")?;
            let name = path.split([':', ';', ' ']).next()?;
            let foreign = names.contains(&name) && name != source.home();
            let refused = foreign && !may_know(source.home(), name);
            refused.then(|| format!("{} may not know {name}", source.home()))
        },
        "server -> engine -> store -> domain; move the code to the crate that may know it",
    );
}

fn manifests() -> BTreeMap<String, String> {
    let folder = root().join("crates");
    let read = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path().join("Cargo.toml")).ok()?;
        Some((entry.file_name().to_string_lossy().into_owned(), text))
    };
    fs::read_dir(folder).unwrap().filter_map(|entry| read(entry.unwrap())).collect()
}

/// The names under `[dependencies]` and `[dev-dependencies]`, with their section.
fn dependencies(manifest: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
        } else if section.ends_with("dependencies") && line.contains('=') {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            found.push((section.clone(), name.to_owned()));
        }
    }
    found
}

fn may_know(home: &str, name: &str) -> bool {
    let of = |table: &[(&str, &'static [&'static str])]| {
        table.iter().find(|(key, _)| *key == home).map_or(&[][..], |(_, names)| names)
    };
    let ours = ARROWS.iter().any(|(key, _)| *key == name);
    if ours { of(&ARROWS).contains(&name) } else { !of(&FOREIGN).contains(&name) }
}

#[test]
fn sql_lives_in_the_store() {
    hold_lines(
        |source, line| {
            // Tests that harm a database do it in one place.
            let harms = source.path.ends_with("testkit/src/ground.rs");
            let outside = source.home() != "store" && source.path.starts_with("crates/");
            (outside && !harms && is_sql(line)).then(|| "SQL outside the store".to_owned())
        },
        "move the statement into the function of crates/store that runs it",
    );
}

fn is_sql(line: &str) -> bool {
    let update = line.contains("UPDATE ") && line.contains(" SET");
    update || ["SELECT ", "INSERT INTO", "DELETE FROM"].iter().any(|word| line.contains(word))
}

#[test]
fn lints_are_expected_and_never_allowed() {
    let allow = ["#[", "#!["].map(|open| format!("{open}allow("));
    let mut violations = Vec::new();
    for source in sources() {
        for (number, line) in (1..).zip(source.text.lines()) {
            if allow.iter().any(|attribute| line.trim_start().starts_with(attribute)) {
                violations.push(source.at(number, "an allowed lint"));
            }
        }
    }
    hold(&violations, "say #[expect(lint, reason = \"…\")], which ends when its cause ends");
}

#[test]
fn names_say_what_a_thing_is() {
    let mut violations = Vec::new();
    for source in sources() {
        let stem = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if stem.split('_').any(|word| BANNED_WORDS.contains(&word)) {
            violations.push(source.at(1, "an empty word in the file's name"));
        }
        for (number, line) in source.statements() {
            if declared_type(line).is_some_and(|name| has_banned_word(&name)) {
                violations.push(source.at(number, "an empty word in the type's name"));
            }
        }
    }
    hold(&violations, "service, manager, helper, utils, common say nothing: name the noun");
}

fn declared_type(line: &str) -> Option<String> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").or(line.strip_prefix("pub(crate) ")).unwrap_or(line);
    let (keyword, rest) = line.split_once(' ')?;
    let name = rest.split(|c: char| !c.is_alphanumeric()).next()?;
    ["struct", "enum", "trait", "type"].contains(&keyword).then(|| name.to_owned())
}

fn has_banned_word(name: &str) -> bool {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words.split(' ').any(|word| BANNED_WORDS.contains(&word))
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = |source: &Source| {
        (!source.text.starts_with("//!")).then(|| source.at(1, "no opening //! lines"))
    };
    let violations: Vec<String> = sources().iter().filter_map(silent).collect();
    hold(&violations, "open the file with //! lines: what it is for and what it may not do");
}

#[test]
fn time_comes_from_the_clock() {
    hold_lines(
        |source, line| {
            let pure = ["domain", "engine"].contains(&source.home());
            let wall = WALL_CLOCKS.iter().any(|read| line.contains(read));
            let reads = wall || (pure && line.contains("Instant::now"));
            (reads && source.path != CLOCK_HOME).then(|| "a clock is read".to_owned())
        },
        "take the instant as a value; only crates/engine/src/clock.rs reads a clock. Outside of \
         domain and engine a duration may be measured with Instant",
    );
}

#[test]
fn money_has_no_floats() {
    hold_lines(
        |source, line| {
            let exact = ["domain", "store", "engine"].contains(&source.home());
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let float = words.any(|word| word == "f32" || word == "f64");
            (exact && float && !line.contains("metric")).then(|| "a float".to_owned())
        },
        "use domain's exact amounts; a metric may be a float when its line says so",
    );
}

/// Printed and not asserted: a share that is forced becomes noise.
#[test]
fn the_share_of_comments_is_printed() {
    let (mut comments, mut code) = (0, 0);
    for source in sources() {
        let all = source.code().iter().filter(|(_, line)| !line.trim().is_empty()).count();
        let statements = source.statements();
        let said = statements.iter().filter(|(_, line)| !line.trim().is_empty()).count();
        comments += all - said;
        code += said;
    }
    println!("{comments} lines of comments for {code} lines of code (aim: 15 %)");
    assert!(code > 0);
}

/// The rules themselves, against lines that were written to break them.
#[test]
fn the_rules_see_what_they_forbid() {
    assert!(is_sql("let q = \"UPDATE wallets SET x = 1\";"));
    assert!(!is_sql("// the selected row"));
    assert!(has_banned_word("WalletManager") && !has_banned_word("CommonalityCount2"));
    assert_eq!(declared_type("pub struct Wallet<'a> {").as_deref(), Some("Wallet"));
    assert!(starts_function("    pub(crate) async fn run("));
    assert!(!starts_function("    let fn_name = 1;"));
    let lines = [(1, "fn a("), (2, "    b: u8,"), (3, ") -> u8 {"), (4, "    b"), (5, "}")];
    assert_eq!(function_lines(&lines), 5);
    assert!(!may_know("domain", "store") && may_know("server", "engine"));
    assert!(!may_know("domain", "tokio") && may_know("engine", "tokio"));
}
