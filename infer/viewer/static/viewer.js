"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const LIMITS = ["area_min", "area_max", "probability_min", "probability_max"];
  const NAMES = {
    label: "Number",
    area: "Area, px",
    area_um2: "Area, µm²",
    probability: "Probability",
    flow_error: "Flow error",
    perimeter: "Perimeter, px",
    eccentricity: "Eccentricity",
    orientation: "Orientation, rad",
    solidity: "Solidity",
    touches_border: "At the border",
  };
  const MEANINGS = { mean: "mean", std: "SD", min: "minimum", max: "maximum" };
  const viewer = OpenSeadragon({
    element: byId("view"),
    drawer: "canvas",
    showNavigationControl: false,
    showNavigator: true,
    navigatorPosition: "TOP_RIGHT",
    navigatorAutoFade: false,
    navigatorSizeRatio: 0.18,
    animationTime: 0.4,
    maxZoomPixelRatio: 16,
    visibilityRatio: 0.4,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    gestureSettingsTouch: { pinchRotate: false },
  });
  let images = [];
  let current = -1; // number of the image
  let about = null; // what the server knows of it, once it is open
  let pinned = null; // the cell that was clicked
  let shownCell = null;

  // Requests

  async function ask(path) {
    const answer = await fetch(path).catch(() => {
      throw new Error("No answer from flowmask view; is it still running?");
    });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  function filter() {
    const query = new URLSearchParams();
    for (const name of LIMITS) if (byId(name).value !== "") query.set(name, byId(name).value);
    return query;
  }

  function region() {
    const bounds = picture().viewportToImageRectangle(viewer.viewport.getBounds(true));
    const query = filter();
    const edges = { top: bounds.y, left: bounds.x, bottom: bounds.y + bounds.height, right: bounds.x + bounds.width };
    for (const [name, value] of Object.entries(edges)) query.set(name, value.toFixed(2));
    return query;
  }

  // The image and its layer

  function picture() {
    return viewer.world.getItemAt(0);
  }

  function tiles(kind, ending, query) {
    const number = current;
    return {
      width: about.width,
      height: about.height,
      tileSize: about.tile,
      minLevel: 0,
      maxLevel: about.levels - 1,
      getTileUrl: (level, x, y) => `images/${number}/${kind}/${level}/${x}_${y}.${ending}${query}`,
    };
  }

  function showLayer() {
    if (!about || !picture()) return;
    const kind = pressed("filled") ? "fills" : "outlines";
    const query = filter().toString();
    viewer.addTiledImage({
      tileSource: tiles(kind, "png", query && `?${query}`),
      index: 1,
      replace: viewer.world.getItemCount() > 1,
      opacity: layerOpacity(),
    });
    count();
  }

  function layerOpacity() {
    return pressed("shown") ? Number(byId("opacity").value) : 0;
  }

  function setOpacity() {
    const layer = viewer.world.getItemAt(1);
    if (layer) layer.setOpacity(layerOpacity());
  }

  async function open(number) {
    if (number < 0 || number >= images.length) return;
    current = number;
    about = null;
    history.replaceState(null, "", `#${number + 1}`);
    document.title = `${images[number].name} · Flowmask`;
    for (const [at, button] of [...document.querySelectorAll("#images button")].entries()) {
      button.setAttribute("aria-current", String(at === number));
      if (at === number) button.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    release();
    viewer.close();
    byId("view").classList.add("whole");
    byId("counts").textContent = "";
    byId("scale").hidden = true;
    say("Opening the image …");
    for (;;) {
      const state = await ask(`images/${number}`);
      if (current !== number) return;
      if (state.error) return say(state.error);
      if (state.progress === undefined) return begin(state);
      if (state.progress > 0) say(`Preparing the image: ${Math.floor(100 * state.progress)} %`);
      await new Promise((resolve) => setTimeout(resolve, 300));
      if (current !== number) return;
    }
  }

  function begin(state) {
    about = state;
    byId("probability").hidden = !about.probability;
    byId("noprobability").hidden = about.probability;
    byId("area_max").placeholder = about.largest;
    viewer.open(tiles("image", "jpg", ""));
  }

  // The layer comes when the image is there, so that it lies above it.
  viewer.addHandler("open", () => {
    say("");
    showLayer();
    drawScale();
  });
  viewer.addHandler("open-failed", () => say("The image cannot be shown."));
  viewer.addHandler("animation", () => {
    if (!picture()) return;
    const zoom = picture().viewportToImageZoom(viewer.viewport.getZoom(true));
    viewer.drawer.setImageSmoothingEnabled(zoom < 2);
    // The small picture of the whole image helps only where the large one does not show it all.
    byId("view").classList.toggle("whole", viewer.viewport.getZoom(true) < 1.05 * viewer.viewport.getHomeZoom());
    drawScale();
  });
  viewer.addHandler("animation-finish", () => about && picture() && count());

  function say(text) {
    byId("message").textContent = text;
    byId("message").hidden = !text;
  }

  function drawScale() {
    const size = about && about.pixel_size_um;
    byId("scale").hidden = !size;
    if (!size || !picture()) return;
    const pixels = picture().viewportToImageZoom(viewer.viewport.getZoom(true)) / size; // screen px in a µm
    const longest = 140 / pixels;
    const power = 10 ** Math.floor(Math.log10(longest));
    const length = [5, 2, 1].map((digit) => digit * power).find((one) => one <= longest);
    byId("scale").firstChild.style.width = `${length * pixels}px`;
    byId("scale").firstChild.textContent = length >= 1000 ? `${length / 1000} mm` : `${Number(length.toPrecision(1))} µm`;
  }

  async function count() {
    const number = current;
    const found = await ask(`images/${number}/count?${region()}`);
    if (current !== number || !about) return;
    const [shown, inside] = [found.shown, found.inside].map((value) => value.toLocaleString("en"));
    byId("counts").textContent = `${shown} of ${about.cells.toLocaleString("en")} cells are shown, ${inside} in view.`;
  }

  // The cell under the pointer

  let asking = false;
  let next = null;

  function place(position) {
    const point = picture().viewportToImageCoordinates(viewer.viewport.pointFromPixel(position, true));
    return { y: Math.floor(point.y), x: Math.floor(point.x) };
  }

  async function cellAt({ y, x }) {
    const query = filter();
    query.set("y", y);
    query.set("x", x);
    return ask(`images/${current}/cell?${query}`);
  }

  // One request at a time; of the places that the pointer passes meanwhile, the last one counts.
  async function hover(at) {
    next = at;
    if (asking) return;
    asking = true;
    try {
      while (next) {
        const here = next;
        next = null;
        const number = current;
        const cell = await cellAt(here);
        if (!pinned && current === number && about) showCell(cell);
      }
    } finally {
      asking = false;
    }
  }

  viewer.canvas.addEventListener("pointermove", (event) => {
    if (!about || !picture()) return;
    const box = viewer.canvas.getBoundingClientRect();
    const at = place(new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top));
    const inside = at.y >= 0 && at.x >= 0 && at.y < about.height && at.x < about.width;
    byId("place").textContent = inside ? `row ${at.y}, column ${at.x}` : "";
    if (!pinned && event.buttons === 0) hover(at);
  });
  viewer.canvas.addEventListener("pointerleave", () => {
    byId("place").textContent = "";
    next = null;
  });
  viewer.addHandler("canvas-click", async (event) => {
    if (!event.quick || !about || !picture()) return;
    const cell = await cellAt(place(event.position));
    pinned = cell;
    showCell(cell);
    byId("pinned").hidden = !cell;
  });

  function release() {
    pinned = null;
    byId("pinned").hidden = true;
    showCell(null);
  }

  function showCell(cell) {
    if ((cell && cell.cell) === (shownCell && shownCell.cell) && cell) return;
    shownCell = cell;
    byId("hint").hidden = Boolean(cell);
    byId("cell").replaceChildren(...(cell ? rows(cell.row) : []));
    drawOutline(cell);
  }

  function rows(row) {
    const shown = Object.entries(row).filter(([name, value]) => value !== "" && !name.startsWith("bbox-"));
    const lines = shown
      .filter(([name]) => !name.startsWith("centroid-"))
      .map(([name, value]) => [nameOf(name), name === "touches_border" ? (value === "1" ? "yes" : "no") : short(value)]);
    const centre = ["0", "1"].map((at) => Number(row[`centroid-${at}`]).toFixed(1)).join(", ");
    lines.splice(1, 0, ["Centre (row, column)", centre]);
    return lines.map(([name, value]) => {
      const line = document.createElement("div");
      line.append(document.createElement("dt"), document.createElement("dd"));
      line.firstChild.textContent = name;
      line.lastChild.textContent = value;
      return line;
    });
  }

  function nameOf(name) {
    const intensity = name.match(/^intensity_(mean|std|min|max)-(.*)$/s);
    return intensity ? `Channel ${intensity[2]}, ${MEANINGS[intensity[1]]}` : NAMES[name] || name;
  }

  function short(text) {
    const value = Number(text);
    if (!Number.isFinite(value)) return text;
    return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));
  }

  function drawOutline(cell) {
    for (const old of document.querySelectorAll("#view .outline")) viewer.removeOverlay(old);
    if (!cell) return;
    const [top, left, bottom, right] = cell.box;
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "outline");
    svg.setAttribute("viewBox", `${left} ${top} ${right - left} ${bottom - top}`);
    svg.setAttribute("preserveAspectRatio", "none");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", cell.outline.map((ring) => `M${ring.map((point) => point.join(" ")).join("L")}Z`).join(""));
    svg.append(path);
    viewer.addOverlay(svg, picture().imageToViewportRectangle(left, top, right - left, bottom - top));
  }

  // Controls

  function pressed(id) {
    return byId(id).getAttribute("aria-pressed") === "true";
  }

  function press(id) {
    byId(id).setAttribute("aria-pressed", String(!pressed(id)));
    if (id === "filled") showLayer();
    else setOpacity();
  }

  function zoom(factor) {
    viewer.viewport.zoomBy(factor);
    viewer.viewport.applyConstraints();
  }

  function home() {
    viewer.viewport.goHome();
  }

  let later = 0;
  function filterChanged() {
    clearTimeout(later);
    later = setTimeout(() => {
      release();
      showLayer();
    }, 300);
  }

  function save(href, name) {
    const link = document.createElement("a");
    link.href = href;
    link.download = name;
    link.click();
  }

  function savePicture() {
    const drawn = viewer.drawer.canvas;
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [drawn.width, drawn.height];
    const context = copy.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, copy.width, copy.height);
    context.drawImage(drawn, 0, 0);
    copy.toBlob((blob) => {
      const url = URL.createObjectURL(blob);
      save(url, `${images[current].name}_region.png`);
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    });
  }

  byId("shown").addEventListener("click", () => press("shown"));
  byId("filled").addEventListener("click", () => press("filled"));
  byId("opacity").addEventListener("input", setOpacity);
  byId("in").addEventListener("click", () => zoom(1.6));
  byId("out").addEventListener("click", () => zoom(1 / 1.6));
  byId("home").addEventListener("click", home);
  byId("filter").addEventListener("input", filterChanged);
  byId("filter").addEventListener("reset", filterChanged);
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("png").addEventListener("click", () => picture() && savePicture());
  for (const kind of ["csv", "geojson"])
    byId(kind).addEventListener("click", () => picture() && save(`images/${current}/cells.${kind}?${region()}`, ""));

  const keys = {
    o: () => press("shown"),
    f: () => press("filled"),
    n: () => open(current + 1),
    p: () => open(current - 1),
    "+": () => zoom(1.6),
    "=": () => zoom(1.6),
    "-": () => zoom(1 / 1.6),
    0: home,
    Escape: release,
    ArrowLeft: () => move(-1, 0),
    ArrowRight: () => move(1, 0),
    ArrowUp: () => move(0, -1),
    ArrowDown: () => move(0, 1),
  };

  function move(x, y) {
    const bounds = viewer.viewport.getBounds();
    viewer.viewport.panBy(new OpenSeadragon.Point((x * bounds.width) / 8, (y * bounds.height) / 8));
    viewer.viewport.applyConstraints();
  }

  // OpenSeadragon's own keys would also turn and mirror the image.
  viewer.addHandler("canvas-key", (event) => {
    event.preventDefaultAction = true;
  });
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
      const act = keys[event.key];
      if (!act || (event.key.startsWith("Arrow") && event.target.closest("nav, aside"))) return;
      event.preventDefault();
      event.stopPropagation();
      act();
    },
    true,
  );

  // The list of images

  async function start() {
    images = await ask("images");
    const cells = images.reduce((sum, image) => sum + image.cells, 0);
    byId("total").textContent = `${images.length} image${images.length === 1 ? "" : "s"}, ${cells.toLocaleString("en")} cells`;
    byId("images").append(
      ...images.map((image, at) => {
        const item = document.createElement("li");
        const button = document.createElement("button");
        const small = document.createElement("small");
        button.type = "button";
        button.textContent = image.name;
        small.textContent = `${image.cells.toLocaleString("en")} cells`;
        button.append(small);
        button.addEventListener("click", () => open(at));
        item.append(button);
        return item;
      }),
    );
    const wanted = Number(location.hash.slice(1)) - 1;
    open(images[wanted] ? wanted : 0);
  }

  window.addEventListener("unhandledrejection", (event) => say(event.reason.message));
  start();
})();
