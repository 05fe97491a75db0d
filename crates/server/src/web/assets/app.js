// What moves on a page. Everything works without it; it makes it quicker.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const csrf = document.body.dataset.csrf || "";

  // Copy buttons.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1200);
    } catch { /* the text can be marked by hand */ }
  });

  // Selects that act at once; their button is for those without this script.
  for (const form of all("form[data-auto]")) {
    const button = $("button[type=submit]", form);
    if (button) button.hidden = true;
    form.addEventListener("change", () => form.requestSubmit());
  }

  // A form is sent once, and says so.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.stream !== undefined || form.method !== "post") return;
    setTimeout(() => all("button[type=submit]", form).forEach((one) => { one.disabled = true; }));
  });
  window.addEventListener("pageshow", () => {
    all("form button[type=submit]:disabled").forEach((one) => { one.disabled = false; });
  });

  // Times: the title says them in the reader's own zone.
  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const times = (root) => all("time[datetime]", root).forEach((one) => {
    const at = new Date(one.dateTime);
    if (!Number.isNaN(+at)) one.title = `${one.textContent} UTC\n${local.format(at)} ${zone}`;
  });
  times(document);

  // Figures under the pointer.
  let tip = null;
  document.addEventListener("pointermove", (event) => {
    const target = event.target.closest && event.target.closest("[data-tip]");
    if (!target) { if (tip) { tip.remove(); tip = null; } return; }
    if (!tip) { tip = document.createElement("div"); tip.className = "tip"; document.body.append(tip); }
    tip.textContent = target.dataset.tip;
    const left = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8);
    // Positions of one element, set by script: the policy forbids only what stands in the page.
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, event.clientY - tip.offsetHeight - 10)}px`;
  });

  // Live parts: after a commit the page is read again, and what changed is put in place.
  const place = (one) => [one.textContent, one.getAttribute("href"), one.form && one.form.getAttribute("action")].join(" ");
  const swap = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const old of all("[data-live]")) {
      if (old === document.body || !old.id) continue;
      const next = fresh.getElementById(old.id);
      if (!next) continue;
      // What the reader opened stays open.
      const folds = all("details", old), fresher = all("details", next);
      if (folds.length === fresher.length) fresher.forEach((one, at) => { one.open = folds[at].open; });
      if (next.innerHTML === old.innerHTML) continue;
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      if (focused && !focused.matches("a,button,summary")) continue;
      const known = new Set(all("[data-row]", old).map((row) => row.dataset.row));
      old.replaceWith(document.adoptNode(next));
      times(next);
      if (focused) {
        const same = all("a,button,summary", next).find((one) => place(one) === place(focused));
        if (!same) next.tabIndex = -1;
        (same || next).focus({ preventScroll: true });
      }
      if (known.size) {
        for (const row of all("[data-row]", next)) if (!known.has(row.dataset.row)) row.classList.add("flash");
      }
    }
  };
  if (document.body.dataset.live === "on" && window.EventSource) {
    let busy = false, again = false, later = 0;
    // Work that is under way tells no event: it is looked at each second.
    const watch = () => {
      clearTimeout(later);
      if ($("[data-busy]") && !document.hidden) later = setTimeout(refresh, 1000);
    };
    const refresh = async () => {
      if (busy) { again = true; return; }
      busy = true;
      try {
        const answer = await fetch(location.href, { headers: { "x-part": "live" }, redirect: "error" });
        if (answer.ok) swap(await answer.text());
      } catch { /* the next commit tries again */ }
      busy = false;
      if (again) { again = false; setTimeout(refresh, 250); } else watch();
    };
    let source = null;
    const listen = () => {
      if (source) return;
      source = new EventSource("/live");
      source.addEventListener("commit", refresh);
    };
    const rest = () => { if (source) { source.close(); source = null; } };
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) rest(); else { listen(); refresh(); }
    });
    window.addEventListener("pagehide", rest);
    listen();
    watch();
  }

  // The palette.
  const palette = $("#palette");
  if (palette) {
    const input = $("#palette-input"), list = $("#palette-list");
    const fixed = [];
    const gather = () => {
      fixed.length = 0;
      for (const link of all(".side nav a")) {
        fixed.push({ name: link.textContent.trim(), hint: `G ${link.dataset.go.toUpperCase()}`, to: link.getAttribute("href") });
      }
      fixed.push({ name: "Create a paywall", hint: "action", to: "/paywalls/new" });
      fixed.push({ name: "Create a customer", hint: "action", to: "/customers/new" });
      fixed.push({ name: "Create an API key", hint: "action", to: "/developers/new" });
      fixed.push({ name: "Add a webhook endpoint", hint: "action", to: "/webhooks/new" });
      fixed.push({ name: "API reference", hint: "docs", to: "/docs" });
      fixed.push({ name: "Your account", hint: "page", to: "/account" });
      for (const link of all("main a[href^='/']")) {
        const name = link.textContent.trim().replace(/\s+/g, " ");
        if (name) fixed.push({ name, hint: "on this page", to: link.getAttribute("href") });
      }
    };
    let shown = [], at = 0, asked = 0;
    const draw = () => {
      list.replaceChildren(...shown.map((one, index) => {
        const item = document.createElement("li");
        item.id = `palette-${index}`;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", String(index === at));
        item.append(one.name);
        const hint = document.createElement("small");
        hint.textContent = one.hint;
        item.append(hint);
        item.addEventListener("click", () => { location.href = one.to; });
        return item;
      }));
      input.setAttribute("aria-activedescendant", shown.length ? `palette-${at}` : "");
      const chosen = list.children[at];
      if (chosen) chosen.scrollIntoView({ block: "nearest" });
    };
    const match = async () => {
      const text = input.value.trim().toLowerCase();
      const seen = new Set();
      shown = fixed.filter((one) => {
        const fits = one.name.toLowerCase().includes(text) && !seen.has(one.to);
        if (fits) seen.add(one.to);
        return fits;
      }).slice(0, 30);
      at = 0;
      draw();
      if (text.length < 2) return;
      const mine = ++asked;
      try {
        const answer = await fetch(`/find?q=${encodeURIComponent(text)}`);
        if (!answer.ok || mine !== asked) return;
        shown = [...(await answer.json()).found, ...shown].slice(0, 40);
        draw();
      } catch { /* pages are found without it */ }
    };
    const open = () => { gather(); input.value = ""; palette.showModal(); match(); input.focus(); };
    input.addEventListener("input", match);
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        if (shown.length) at = (at + (event.key === "ArrowDown" ? 1 : shown.length - 1)) % shown.length;
        draw();
      } else if (event.key === "Enter" && shown[at]) {
        location.href = shown[at].to;
      }
    });
    palette.addEventListener("click", (event) => { if (event.target === palette) palette.close(); });
    all("[data-palette-open]").forEach((one) => one.addEventListener("click", open));
    let led = 0;
    document.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        if (palette.open) palette.close(); else open();
        return;
      }
      const typing = event.target.closest("input,textarea,select,[contenteditable]");
      if (typing || palette.open || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "/") { event.preventDefault(); const find = $("#find"); if (find) find.focus(); return; }
      if (event.key === "g") { led = Date.now(); return; }
      if (Date.now() - led < 1200) {
        led = 0;
        const link = all(".side nav a").find((one) => one.dataset.go === event.key);
        if (link) location.href = link.href;
      }
    });
  }

  // A template is shown as it will read.
  for (const area of all("[data-preview]")) {
    const out = document.getElementById(area.dataset.preview);
    if (!out) continue;
    const values = JSON.parse(out.dataset.values || "{}");
    const show = () => {
      out.textContent = area.value.replace(/\{\{?\s*([\w.]+)\s*\}?\}/g, (whole, name) => values[name] ?? whole);
    };
    area.addEventListener("input", show);
    show();
  }

  // The test clock's slider.
  const slide = $("#clock-slide");
  if (slide) {
    const out = $("#clock-by"), steps = JSON.parse(slide.dataset.steps);
    const show = () => { const [by, words] = steps[slide.value]; out.value = by; slide.setAttribute("aria-valuetext", words); $("#clock-words").textContent = words; };
    slide.addEventListener("input", show);
    show();
  }

  // The playground: an answer as it comes, then what it cost.
  const play = $("form[data-stream]");
  if (play) {
    const chat = $("#chat"), story = $("#story"), said = [];
    const say = (who, text) => {
      const box = document.createElement("div");
      box.className = `said ${who}-said`;
      box.textContent = text;
      chat.append(box);
      chat.scrollTop = chat.scrollHeight;
      return box;
    };
    const tell = (pairs) => {
      story.replaceChildren(...pairs.map(([name, value]) => {
        const row = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
        dt.textContent = name; dd.textContent = value; row.append(dt, dd);
        return row;
      }));
    };
    play.addEventListener("submit", async (event) => {
      event.preventDefault();
      const data = new FormData(play), text = String(data.get("message") || "").trim();
      if (!text) return;
      const button = $("button[type=submit]", play);
      button.disabled = true;
      const empty = $(".blank", chat);
      if (empty) empty.remove();
      say("me", text);
      said.push({ role: "user", content: text });
      const box = say("it", "…");
      $("textarea", play).value = "";
      data.set("messages", JSON.stringify(said));
      try {
        const answer = await fetch(play.action, { method: "POST", body: new URLSearchParams(data), headers: { "x-csrf": csrf } });
        const id = answer.headers.get("x-request-id") || "";
        tell([["Request", id], ["Status", answer.headers.get("x-paywall-status") || String(answer.status)], ["Held and metered", "under way"]]);
        let whole = "", rest = "";
        const type = answer.headers.get("content-type") || "";
        if (type.includes("event-stream")) {
          const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
          for (;;) {
            const { value, done } = await reader.read();
            if (done) break;
            rest += value;
            const lines = rest.split("\n");
            rest = lines.pop();
            for (const line of lines) {
              if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
              try { whole += JSON.parse(line.slice(6)).choices?.[0]?.delta?.content || ""; } catch { /* no delta */ }
              box.textContent = whole || "…";
              chat.scrollTop = chat.scrollHeight;
            }
          }
        } else {
          const body = await answer.json().catch(() => ({}));
          whole = body.choices?.[0]?.message?.content || body.error?.message || body.message || "No answer.";
          box.textContent = whole;
        }
        said.push({ role: "assistant", content: whole });
        const told = await fetch(`${play.dataset.story}?id=${encodeURIComponent(id)}`);
        if (told.ok) tell((await told.json()).facts);
      } catch {
        box.textContent = "It could not be sent.";
      }
      button.disabled = false;
      $("textarea", play).focus();
    });
    $("textarea", play).addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); play.requestSubmit(); }
    });
  }
})();
