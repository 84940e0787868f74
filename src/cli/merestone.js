#!/usr/bin/env node
// Plain JavaScript, so that a Node too old for the rest can still read why it is refused.
const wanted = 24;
if (Number(process.versions.node.split('.')[0]) < wanted) {
  process.stderr.write(
    `merestone: needs Node ${wanted} or newer, this is ${process.versions.node}; run ./scripts/merestone, which brings its own\n`,
  );
  process.exit(69);
}
await import('./main.ts');
