// What Merestone needs of Node. Old JavaScript (CommonJS, no `node:`), so that a Node too old for the rest can report
// what it lacks. Run as a program: prints it and exits with 69, or exits with 0.
const { zstdCompressSync } = require('zlib');

const wanted = 24;

/** What this Node lacks; undefined if it has all. */
function lack() {
  const { versions, features } = process;
  if (Number(versions.node.split('.')[0]) < wanted) {
    return `Node ${wanted} or newer is needed, this is ${versions.node}`;
  }
  if (!features.typescript) return `Node ${versions.node} was built or started without TypeScript`;
  if (zstdCompressSync === undefined) return `Node ${versions.node} was built without zstd`;
  return undefined;
}

module.exports = { lack };

if (require.main === module) {
  const missing = lack();
  if (missing !== undefined) process.stdout.write(`${missing}\n`);
  process.exitCode = missing === undefined ? 0 : 69;
}
