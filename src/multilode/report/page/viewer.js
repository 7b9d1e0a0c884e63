/* Unpacks the viewer of structures and opens it in a frame of its own. */
(function () {
  "use strict";
  const button = document.querySelector("button.opener");
  const text = (id) => document.getElementById(id).textContent;

  async function unpacked(packed) {
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  button.addEventListener("click", async () => {
    button.disabled = true;
    button.textContent = "loading …";
    const frame = document.createElement("iframe");
    frame.className = "viewer";
    frame.title = "structures with the largest errors";
    frame.srcdoc = "<!DOCTYPE html><style>html, body { margin: 0; height: 100%; background: #fff; overflow-x: hidden; } " +
      "body { display: flex; flex-direction: column; } #meta { display: none; } " +
      "#structure { position: relative; flex: 1; min-height: 0; }</style>" +
      '<div id="meta"></div><div id="structure"></div><div id="info"></div>';
    const script = await unpacked(text("viewer-source"));
    frame.addEventListener("load", async () => {
      const inner = frame.contentWindow, page = frame.contentDocument;
      const tag = page.createElement("script");
      tag.textContent = script;
      page.head.append(tag);
      const { StructureVisualizer, Warnings } = inner.Chemiscope;
      const places = { meta: "meta", structure: "structure", info: "info" };
      const data = inner.JSON.parse(text("viewer-data"));
      await StructureVisualizer.load(places, data, new Warnings());
      button.remove();
    });
    button.parentElement.after(frame);
  });
})();
