/* Plots of a report: hover, zoom by dragging, reset by a double click, series on and off, CSV. */
(function () {
  "use strict";
  const COLORS = 7;
  const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
  const charts = [];

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const shown = (v) => {
    if (v === null || v === undefined) return "–";
    if (typeof v !== "number") return String(v);
    const size = Math.abs(v);
    return size !== 0 && (size < 1e-4 || size >= 1e7)
      ? v.toExponential(4) : String(Number(v.toPrecision(8)));
  };

  function make(tag, attributes, text) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  /* Numbers of both axes in whole, with a margin. */
  function range(values, log, both) {
    let low = Infinity, high = -Infinity;
    for (const list of values) for (const v of list) {
      if (v === null || (log && v <= 0)) continue;
      if (v < low) low = v;
      if (v > high) high = v;
    }
    if (low > high) return log ? [0.1, 1] : [0, 1];
    if (log) {
      const ratio = high > low ? Math.pow(high / low, 0.05) : 2;
      return [low / ratio, high * ratio];
    }
    const margin = (high - low) * (both ? 0.04 : 0.05) || Math.abs(high) * 0.05 || 1;
    return [low - margin, high + margin];
  }

  function logTicks(u, axis, low, high) {
    const decades = Math.log10(high / low), found = [];
    if (decades < 0.7) {
      const step = Math.pow(10, Math.floor(Math.log10((high - low) / 2)));
      const wide = (high - low) / step > 7 ? 2 * step : step;
      for (let v = Math.ceil(low / wide) * wide; v <= high; v += wide) found.push(Number(v.toPrecision(6)));
      return found;
    }
    const parts = decades > 3.5 ? [1] : [1, 2, 5];
    for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++)
      for (const part of parts) {
        const v = Number((part * Math.pow(10, e)).toPrecision(6));
        if (v >= low && v <= high) found.push(v);
      }
    return found;
  }

  /* All numbers of an axis alike: with powers of ten, or without. */
  function ticks(u, found) {
    const sizes = found.filter((v) => v).map((v) => Math.abs(v));
    const powers = sizes.length && (Math.min(...sizes) < 9e-5 || Math.max(...sizes) >= 1e6);
    return found.map((v) => {
      if (v === null) return "";
      return powers && v ? Number(v.toPrecision(5)).toExponential() : String(Number(v.toPrecision(9)));
    });
  }

  class Chart {
    constructor(figure) {
      this.plot = JSON.parse(figure.querySelector("script").textContent);
      this.figure = figure;
      this.x = this.plot.x[0];
      this.on = this.plot.series.map(() => true);
      this.host = figure.querySelector(".canvas");
      this.tip = make("div", { class: "tip", hidden: "" });
      this.ring = make("div", { class: "ring", hidden: "" });
      this.tools();
      this.restart();
      new ResizeObserver(() => this.resize()).observe(this.host);
    }

    tools() {
      const bar = this.figure.querySelector(".tools");
      this.plot.series.forEach((series, k) => {
        const button = make("button", { type: "button", "aria-pressed": "true", title: "show or hide" });
        const mark = make("i", { class: series.line ? "line" : "" });
        mark.style.background = `var(--c${k % COLORS})`;
        button.append(mark, series.name);
        button.addEventListener("click", () => {
          this.on[k] = !this.on[k];
          button.setAttribute("aria-pressed", String(this.on[k]));
          this.u.setSeries(k + 1, { show: this.on[k] });
          this.dirty = true;
          this.hide();
        });
        bar.append(button);
      });
      const end = make("span", { class: "end" });
      if (this.plot.x.length > 1) {
        const select = make("select", { "aria-label": "horizontal axis" });
        for (const name of this.plot.x) select.append(make("option", { value: name }, `against ${name}`));
        select.addEventListener("change", () => { this.x = select.value; this.restart(); });
        end.append(select);
      }
      const reset = make("button", { type: "button", title: "the whole plot; a double click does it too" }, "reset");
      reset.addEventListener("click", () => this.zoom(this.full));
      const csv = make("button", { type: "button", title: "the points as a table" }, "CSV");
      csv.addEventListener("click", () => this.save());
      end.append(reset, csv);
      bar.append(end);
    }

    /* One column of x for all series, as the library wants it: sorted, with gaps for the others. */
    aligned() {
      const points = [];
      this.plot.series.forEach((series, k) => {
        const xs = series.columns[this.x] || [], ys = series.columns[this.plot.y];
        xs.forEach((x, i) => {
          if (x === null || ys[i] === null) return;
          if ((this.log[0] && x <= 0) || (this.log[1] && ys[i] <= 0)) return;
          points.push([x, ys[i], k, i]);
        });
      });
      points.sort((a, b) => a[0] - b[0] || a[2] - b[2] || a[3] - b[3]);
      this.points = points;
      const columns = this.plot.series.map(() => new Array(points.length).fill(null));
      points.forEach((p, row) => { columns[p[2]][row] = p[1]; });
      return [points.map((p) => p[0]), ...columns];
    }

    restart() {
      if (this.u) this.u.destroy();
      this.log = [this.plot.log.includes(this.x), this.plot.log.includes(this.plot.y)];
      const data = this.aligned();
      const x = this.points.map((p) => p[0]), y = this.points.map((p) => p[1]);
      const spread = this.points.map((p) => this.spread(p));
      const wide = y.concat(y.map((v, i) => v + spread[i]), y.map((v, i) => v - spread[i]));
      this.full = this.plot.equal
        ? [range([x, y], this.log[0], true), range([x, y], this.log[0], true)]
        : [range([x], this.log[0]), range([wide], this.log[1])];
      this.view = this.full;
      this.u = new uPlot(this.options(), data, this.host);
      this.host.append(this.tip, this.ring);
      this.hide();
      this.listen();
    }

    spread(p) {
      const series = this.plot.series[p[2]];
      return series.spread ? series.columns[series.spread][p[3]] || 0 : 0;
    }

    size() {
      const width = Math.max(240, Math.floor(this.host.clientWidth));
      return { width, height: Math.min(this.plot.equal ? 470 : 350, Math.round(width * (this.plot.equal ? 0.95 : 0.72))) };
    }

    resize() {
      const size = this.size();
      if (size.width !== this.u.width) this.u.setSize(size);
      this.dirty = true;
      this.hide();
    }

    options() {
      const axis = (label, log, side) => ({
        label, stroke: css("--ink"), font: FONT, labelFont: FONT, labelSize: 22, labelGap: 2,
        grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1, size: 5 },
        values: ticks,
        ...(log ? { splits: logTicks, filter: (u, found) => found } : {}),
        ...(side ? { size: (u, found) => 16 + 7 * Math.max(2, ...(found || [""]).map((t) => t.length)) } : { size: 34, space: 60 }),
      });
      return {
        ...this.size(),
        legend: { show: false },
        cursor: { x: false, y: false, points: { show: false }, drag: { x: true, y: true, setScale: false, uni: 15 },
          bind: { dblclick: () => () => { this.zoom(this.full); return null; } } },
        scales: {
          x: { time: false, distr: this.log[0] ? 3 : 1, range: () => this.view[0] },
          y: { distr: this.log[1] ? 3 : 1, range: () => this.view[1] },
        },
        axes: [axis(this.x, this.log[0], false), axis(this.plot.y, this.log[1], true)],
        series: [{}, ...this.plot.series.map((series, k) => this.drawn(series, k))],
        hooks: { drawClear: [(u) => this.under(u)], draw: [(u) => this.over(u)],
          setSelect: [(u) => this.selected(u)] },
      };
    }

    drawn(series, k) {
      const color = css(`--c${k % COLORS}`);
      const many = series.columns[this.plot.y].length;
      const size = series.line ? 5 : many > 1500 ? 4 : 6;
      return { label: series.name, show: this.on[k], stroke: color, spanGaps: true, width: series.line ? 2 : 0,
        ...(series.line ? {} : { paths: () => null }),
        points: { show: !series.line || many <= 40, size, width: 0, stroke: color, fill: series.line ? color : color + "c4" } };
    }

    /* Lines and bands that are no data. */
    under(u) {
      const { ctx, bbox } = u;
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      for (const band of this.plot.bands) {
        const [a, b] = [band.low, band.high].map((v) => u.valToPos(v, "x", true));
        ctx.fillStyle = css("--shade");
        ctx.fillRect(a, bbox.top, b - a, bbox.height);
      }
      ctx.restore();
    }

    over(u) {
      const { ctx, bbox } = u, ratio = uPlot.pxRatio;
      this.dirty = true;
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      ctx.lineWidth = ratio;
      const draw = (dashed, ends) => {
        ctx.strokeStyle = css("--soft");
        ctx.setLineDash(dashed ? [5 * ratio, 4 * ratio] : []);
        ctx.beginPath();
        ends.forEach(([x, y], i) => ctx[i ? "lineTo" : "moveTo"](u.valToPos(x, "x", true), u.valToPos(y, "y", true)));
        ctx.stroke();
      };
      const [[left, right], [low, high]] = this.view;
      for (const guide of this.plot.guides)
        draw(guide.dashed, [left, right].map((x) => [x, guide.slope * x + guide.offset]));
      for (const mark of this.plot.marks) draw(true, [[mark.x, low], [mark.x, high]]);
      ctx.setLineDash([]);
      this.points.forEach((p) => {
        const half = this.spread(p);
        if (!half || !this.on[p[2]]) return;
        const floor = this.log[1] ? Math.max(p[1] - half, low) : p[1] - half;
        ctx.strokeStyle = css(`--c${p[2] % COLORS}`);
        ctx.beginPath();
        [[p[0], floor], [p[0], p[1] + half]].forEach(([x, y], i) => ctx[i ? "lineTo" : "moveTo"](u.valToPos(x, "x", true), u.valToPos(y, "y", true)));
        ctx.stroke();
      });
      ctx.restore();
    }

    selected(u) {
      const { left, top, width, height } = u.select;
      if (width < 4 && height < 4) return;
      const x = width > 4 ? [u.posToVal(left, "x"), u.posToVal(left + width, "x")] : this.view[0];
      const y = height > 4 ? [u.posToVal(top + height, "y"), u.posToVal(top, "y")] : this.view[1];
      u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      this.zoom([x, y]);
    }

    zoom(view) {
      this.view = view;
      this.u.batch(() => {
        this.u.setScale("x", { min: view[0][0], max: view[0][1] });
        this.u.setScale("y", { min: view[1][0], max: view[1][1] });
      });
      this.dirty = true;
      this.hide();
    }

    listen() {
      const over = this.u.over;
      over.addEventListener("pointermove", (event) => this.point(event));
      over.addEventListener("pointerdown", (event) => this.point(event));
      over.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") this.hide(); });
    }

    places() {
      if (!this.dirty) return;
      this.dirty = false;
      this.px = Float64Array.from(this.points, (p) => this.u.valToPos(p[0], "x"));
      this.py = Float64Array.from(this.points, (p) => this.u.valToPos(p[1], "y"));
    }

    /* The point nearest to the pointer, with its frame and values. */
    point(event) {
      this.places();
      const box = this.u.over.getBoundingClientRect();
      const x = event.clientX - box.left, y = event.clientY - box.top;
      let best = -1, least = event.pointerType === "touch" ? 1600 : 600;
      for (let i = 0; i < this.px.length; i++) {
        if (!this.on[this.points[i][2]]) continue;
        if (this.px[i] < 0 || this.px[i] > box.width || this.py[i] < 0 || this.py[i] > box.height) continue;
        const d = (this.px[i] - x) ** 2 + (this.py[i] - y) ** 2;
        if (d < least) { least = d; best = i; }
      }
      if (best < 0) { this.hide(); return; }
      this.tell(best);
    }

    tell(best) {
      const [, , k, i] = this.points[best], series = this.plot.series[k];
      const lines = [make("b", {}, series.labels.length ? `${series.name}: ${series.labels[i]}` : series.name)];
      for (const [name, values] of Object.entries(series.columns))
        lines.push(make("div", {}, `${name}: ${shown(values[i])}`));
      this.tip.replaceChildren(...lines);
      this.tip.hidden = this.ring.hidden = false;
      const area = this.u.over, host = this.host.getBoundingClientRect(), box = area.getBoundingClientRect();
      const x = box.left - host.left + this.px[best], y = box.top - host.top + this.py[best];
      this.ring.style.left = `${x}px`;
      this.ring.style.top = `${y}px`;
      const width = this.tip.offsetWidth, height = this.tip.offsetHeight;
      this.tip.style.left = `${Math.max(0, Math.min(x + 14, host.width - width))}px`;
      this.tip.style.top = `${y - height - 12 > 0 ? y - height - 12 : y + 14}px`;
    }

    hide() { this.tip.hidden = this.ring.hidden = true; }

    save() {
      const quoted = (v) => (/[",\n]/.test(v) ? `"${v.replaceAll('"', '""')}"` : v);
      const names = [...new Set(this.plot.series.flatMap((s) => Object.keys(s.columns)))];
      const rows = [["series", "structure", ...names].map(quoted).join(",")];
      for (const series of this.plot.series)
        series.columns[this.plot.y].forEach((_, i) => rows.push([series.name, series.labels[i] || "",
          ...names.map((n) => { const v = (series.columns[n] || [])[i]; return v === null || v === undefined ? "" : String(v); })]
          .map(quoted).join(",")));
      const link = make("a", { download: `${this.plot.file}.csv` });
      link.href = URL.createObjectURL(new Blob([rows.join("\n") + "\n"], { type: "text/csv" }));
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }
  }

  const all = () => charts.forEach((chart) => chart.restart());
  document.querySelectorAll("figure.plot").forEach((figure) => charts.push(new Chart(figure)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  addEventListener("beforeprint", () => { document.documentElement.classList.add("paper"); all(); });
  addEventListener("afterprint", () => { document.documentElement.classList.remove("paper"); all(); });
})();
