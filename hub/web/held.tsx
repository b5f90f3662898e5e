/**
 * What happened since the page was drawn, and whether the hub is still heard. It comes and goes at the lower edge of the
 * window: were it above the rows, they would move under whoever reads them.
 */
export const Held = () => (
  <div class="held">
    <div class="note unknown" id="link-lost" role="status" hidden></div>
    <div class="changes" id="changes" role="status" hidden></div>
  </div>
);
