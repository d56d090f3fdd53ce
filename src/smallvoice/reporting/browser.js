// The utterance browser of the report: filter, sort, open. Text is set as text, never as HTML.
(() => {
  const source = document.getElementById("utterances-data");
  if (!source) return;
  const all = JSON.parse(source.textContent);
  const list = document.getElementById("utterances-list");
  const status = document.getElementById("utterances-status");
  const more = document.getElementById("utterances-more");
  const filter = document.getElementById("utterances-filter");
  const sort = document.getElementById("utterances-sort");
  const only = document.getElementById("utterances-only");
  const PAGE = 25;
  const KINDS = { e: "equal", s: "substitution", i: "insertion", d: "deletion" };
  const ORDERS = {
    tuned: (a, b) => b.t - a.t || a.w - b.w,
    base: (a, b) => b.b - a.b || a.w - b.w,
    worse: (a, b) => b.t - b.b - (a.t - a.b),
    better: (a, b) => a.t - a.b - (b.t - b.b),
    longest: (a, b) => b.d - a.d,
    speaker: (a, b) => a.a.localeCompare(b.a, undefined, { numeric: true }),
  };
  const KEEPS = {
    all: () => true,
    wrong: (one) => one.t > 0,
    worse: (one) => one.t > one.b,
    better: (one) => one.t < one.b,
    perfect: (one) => one.t === 0,
  };
  let found = [];
  let shown = 0;

  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const aligned = (one) => {
    const box = element("div", "aligned");
    box.dir = one.r ? "rtl" : "ltr";
    const names = element("span", "c names");
    for (const name of ["reference", "base", "tuned"]) names.append(element("span", "", name));
    box.append(names);
    for (const [reference, base, baseKind, tuned, tunedKind] of one.c) {
      const column = element("span", "c");
      column.append(element("bdi", reference ? "r" : "", reference));
      for (const [text, kind] of [[base, baseKind], [tuned, tunedKind]]) {
        column.append(element("bdi", kind ? `w ${KINDS[kind]}` : "", text));
      }
      box.append(column);
    }
    if (one.m) box.append(element("span", "c more", `and ${one.m} more`));
    return box;
  };

  const card = (one) => {
    const details = element("details", "utterance");
    const words = one.c.map((column) => column[0]).filter(Boolean).join(" ");
    const summary = element("summary");
    summary.append(element("bdi", "said", words || "(nothing was said)"));
    summary.append(element("span", "counts", `base ${one.b}, tuned ${one.t} of ${one.w}`));
    details.append(summary);
    details.addEventListener("toggle", () => {
      if (!details.open || details.childElementCount > 1) return;
      details.append(element("p", "small", [one.i, one.a, ...one.f].join(" · ")), aligned(one));
      if (one.p) {
        const player = element("audio");
        player.controls = true;
        player.preload = "none";
        player.src = one.p;
        details.append(player);
      }
    });
    return details;
  };

  const show = () => {
    for (const one of found.slice(shown, shown + PAGE)) list.append(card(one));
    shown = Math.min(found.length, shown + PAGE);
    more.hidden = shown >= found.length;
    status.textContent = `${shown} of ${found.length} shown`;
  };

  const again = () => {
    const wanted = filter.value.trim().toLowerCase();
    const text = (one) => `${one.i} ${one.a} ${one.c.map((column) => `${column[0]} ${column[1]} ${column[3]}`).join(" ")}`;
    found = all.filter(KEEPS[only.value]).filter((one) => !wanted || text(one).toLowerCase().includes(wanted));
    found.sort(ORDERS[sort.value]);
    list.replaceChildren();
    shown = 0;
    show();
  };

  filter.addEventListener("input", again);
  sort.addEventListener("change", again);
  only.addEventListener("change", again);
  more.addEventListener("click", show);
  filter.form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("utterances-browser").hidden = false;
  again();
})();
