// Keeps the page current: on every change it fetches this same page again and swaps the parts marked data-live.
// Without it the page is complete, only not live.
(() => {
  const sign = document.getElementById("live");
  const say = (on) => {
    sign.hidden = false;
    sign.className = on ? "live on" : "live off";
    sign.textContent = on ? sign.dataset.words : sign.dataset.lost;
  };
  let busy = false, again = false;
  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const old of document.querySelectorAll("[data-live]")) {
          const part = fresh.getElementById(old.id);
          if (!part || part.innerHTML === old.innerHTML || old.contains(document.activeElement) && document.activeElement.matches("summary")) continue;
          const opened = [...old.querySelectorAll("details")].map((d) => d.open);
          old.replaceChildren(...part.childNodes);
          old.querySelectorAll("details").forEach((d, i) => { d.open = opened[i] || false; });
        }
      }
    } catch { /* the stream tells when the server is back */ }
    busy = false;
    if (again) { again = false; refresh(); }
  };
  const stream = new EventSource("/live");
  let lost = false;
  stream.onopen = () => { say(true); if (lost) { lost = false; refresh(); } };
  stream.onerror = () => { say(false); lost = true; };
  stream.onmessage = refresh;
})();
