"use strict";
(() => {
  const data = JSON.parse(document.getElementById("scrub-data").textContent);
  const part = (name) => document.getElementById("scrub-" + name);
  const panel = document.getElementById("scrub");
  const [reading, episode, learner, time] = ["reading", "episode", "learner", "time"].map(part);
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const fill = (select, names) => select.replaceChildren(...names.map((name, i) => new Option(name, i)));
  const highest = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

  function chosen() {
    const set = data.readings[reading.value];
    const all = bytes(set.probability[learner.value][episode.value]);
    const at = (t) => all.subarray(t * set.classes, (t + 1) * set.classes);
    return { set, at, label: set.label[episode.value], image: set.image[episode.value] };
  }

  function exposure(now, t) {
    if (now.image.indexOf(now.image[t]) < t) return "second exposure of this image";
    return now.label.indexOf(now.label[t]) < t ? "new image of a class seen before" : "first image of its class";
  }

  function draw(now, t) {
    const [height, width, colours] = now.set.shape;
    const canvas = part("image");
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d"), picture = context.createImageData(width, height);
    const pixels = bytes(now.set.pixels[episode.value]).subarray(now.image[t] * width * height * colours);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) picture.data[4 * i + c] = pixels[i * colours + (colours === 3 ? c : 0)];
      picture.data[4 * i + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
    canvas.setAttribute("aria-label", `Example ${t + 1}, an image of class ${now.label[t]}`);
  }

  function row(index, value, truth, predicted) {
    const tr = document.createElement("tr"), name = document.createElement("th"), bar = document.createElement("span");
    name.scope = "row";
    name.textContent = index;
    tr.append(name);
    const [drawn, number, note] = [1, 2, 3].map(() => tr.insertCell());
    drawn.className = "bar";
    bar.style.width = `${(100 * value) / 255}%`;
    drawn.append(bar);
    number.textContent = Math.round((100 * value) / 255);
    note.textContent = [index === truth && "\u25a1 right", index === predicted && "\u25cf predicted"].filter(Boolean).join(", ");
    if (index === predicted) tr.className = "predicted";
    return tr;
  }

  function show() {
    const now = chosen(), t = Number(time.value), values = now.at(t), truth = now.label[t], guess = highest(values);
    const share = Math.round((100 * values[truth]) / 255), kind = exposure(now, t);
    part("number").textContent = `${t + 1} of ${now.label.length}`;
    time.setAttribute("aria-valuetext", `Example ${t + 1} of ${now.label.length}, ${kind}`);
    part("status").textContent = `Class ${truth}, ${kind}. ${learner.selectedOptions[0].text} predicts ${guess}, which is ` +
      `${guess === truth ? "right" : "wrong"}, and gives the right class ${share} %.`;
    part("classes").replaceChildren(...Array.from(values, (value, i) => row(i, value, truth, guess)));
    part("course").replaceChildren(...now.label.map((label, i) => {
      const mark = document.createElement("span");
      if (highest(now.at(i)) === label) mark.classList.add("hit");
      if (i === t) mark.classList.add("now");
      return mark;
    }));
    draw(now, t);
  }

  function settle() {
    const episodes = data.readings[reading.value].label;
    if (episode.options.length !== episodes.length) fill(episode, episodes.map((_, i) => i + 1));
    time.max = episodes[episode.value].length - 1;
    show();
  }

  fill(reading, data.readings.map((set) => set.title));
  fill(learner, data.learners.map(({ name, rate }) => (rate ? `${name} (${rate})` : name)));
  for (const select of [reading, episode, learner]) select.addEventListener("change", settle);
  time.addEventListener("input", show);
  panel.addEventListener("keydown", (event) => {
    const last = Number(time.max), now = Number(time.value);
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
    if (event.target !== panel || to === undefined) return;
    event.preventDefault();
    time.value = Math.min(Math.max(to, 0), last);
    show();
  });
  panel.hidden = false;
  settle();
})();
