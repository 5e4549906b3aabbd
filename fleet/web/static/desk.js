// Keeps a page current and lets the keyboard lead through it. Without it every page is complete, only not live.
(() => {
  // News: on a change this same page is fetched again, and of the parts marked data-live only what differs is replaced, so
  // that focus, selection, open details and the place on the page stay as they are.
  const sign = document.getElementById("live");
  const say = (on) => {
    sign.hidden = false;
    sign.className = on ? "live on" : "live off";
    const words = on ? sign.dataset.words : sign.dataset.lost;
    if (sign.textContent !== words) sign.textContent = words;
  };
  const key = (n) => n.nodeType === 1 ? n.id || n.dataset.key || "" : "";
  const morph = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) { old.replaceWith(fresh); return; }
    if (old.nodeType !== 1) { old.nodeValue = fresh.nodeValue; return; }
    if (old.matches("input, select, textarea")) return;
    for (const a of [...old.attributes]) if (!fresh.hasAttribute(a.name) && !(a.name === "open" && old.matches("details"))) old.removeAttribute(a.name);
    for (const a of fresh.attributes) if (old.getAttribute(a.name) !== a.value) old.setAttribute(a.name, a.value);
    children(old, fresh);
  };
  const children = (old, fresh) => {
    const known = new Map();
    for (const n of old.childNodes) if (key(n)) known.set(key(n), n);
    let at = old.firstChild;
    for (const n of [...fresh.childNodes]) {
      const k = key(n);
      const same = k ? known.get(k) : at && !key(at) && at.nodeName === n.nodeName ? at : null;
      if (!same) { old.insertBefore(n, at); continue; }
      known.delete(k);
      if (same === at) at = at.nextSibling; else if (!same.contains(document.activeElement)) old.insertBefore(same, at);
      morph(same, n);
    }
    while (at) { const next = at.nextSibling; if (!at.contains(document.activeElement) || at.nodeType !== 1) at.remove(); at = next; }
  };
  // What the reader looks at stays where it is: what has the focus, or else the first row in sight once the page is scrolled.
  const hold = () => {
    const focus = document.activeElement;
    const live = [...document.querySelectorAll("[data-live]")];
    let at = live.some((p) => p.contains(focus)) ? focus : null;
    if (!at && window.scrollY > 0) at = live.flatMap((p) => [p, ...p.querySelectorAll("[data-key]")]).find((e) => e.getBoundingClientRect().top >= 0);
    const top = at?.getBoundingClientRect().top;
    return () => { if (at?.isConnected) window.scrollBy(0, at.getBoundingClientRect().top - top); };
  };
  const pause = 1000;
  let busy = false, again = false, stale = false;
  const refresh = async () => {
    if (busy) { again = true; return; }
    if (document.hidden) { stale = true; return; }
    busy = true;
    let wait = pause;
    const began = performance.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        const settle = hold();
        for (const part of document.querySelectorAll("[data-live]")) {
          const now = fresh.getElementById(part.id);
          if (now) morph(part, now);
        }
        settle();
      } else if (answer.status === 429) { again = true; wait = 1000 * (Number(answer.headers.get("Retry-After")) || 60); }
    } catch { /* the stream tells when the server is back */ }
    // A slow server or a poor machine is asked less often.
    setTimeout(() => { busy = false; if (again) { again = false; refresh(); } }, Math.max(wait, 4 * (performance.now() - began)));
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden && stale) { stale = false; refresh(); } });
  if (document.querySelector("[data-live]")) {
    let lost = false;
    const listen = () => {
      const stream = new EventSource("/live");
      stream.onopen = () => { say(true); if (lost) { lost = false; refresh(); } };
      stream.onerror = () => { say(false); lost = true; if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 10000); };
      stream.onmessage = refresh;
    };
    listen();
  }

  // Keys: / searches, j and k move along the rows of the nearest table.
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches("input, select, textarea")) return;
    if (e.key === "/") { document.querySelector(".search input").focus(); e.preventDefault(); return; }
    if (e.key !== "j" && e.key !== "k") return;
    const rows = [...document.querySelectorAll("[data-rows] tbody tr")].map((r) => r.querySelector("a")).filter(Boolean);
    const here = rows.findIndex((a) => a.closest("tr").contains(document.activeElement));
    const next = rows[here < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, here + (e.key === "j" ? 1 : -1)))];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); e.preventDefault(); }
  });
  for (const field of document.querySelectorAll("[data-submit]")) field.addEventListener("change", () => field.form.submit());
})();
