// Boxes that scroll sideways can be reached with the keyboard, and only while they scroll.
(function () {
  "use strict";
  const boxes =
    ".bd-content pre, .bd-content div.math, .bd-content span.math, .bd-content .output, " +
    ".bd-content .pst-scrollable-table-container";

  function update(box) {
    const scrolls = box.scrollWidth > box.clientWidth + 1 && box.clientWidth > 0;
    if (scrolls) {
      box.setAttribute("tabindex", "0");
    } else {
      box.removeAttribute("tabindex");
    }
  }

  function watch() {
    const found = document.querySelectorAll(boxes);
    const observer = new ResizeObserver((entries) => entries.forEach((e) => update(e.target)));
    found.forEach((box) => {
      observer.observe(box);
      // What is inside can grow while the box does not: mathematics is set after loading.
      if (box.firstElementChild) {
        new ResizeObserver(() => update(box)).observe(box.firstElementChild);
      }
      new MutationObserver(() => update(box)).observe(box, { childList: true });
    });
  }

  document.addEventListener("DOMContentLoaded", watch);
})();
