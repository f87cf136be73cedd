/**
 * `npm start`: brings the packages and the build up to date, then is the `tenon` command, in this very process, so that signals, the
 * terminal and the exit status are its own. All that is said on the way goes to stderr: stdout is the guest's.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { isSupported, OLDEST } from './lib/node-version.mjs'

if (!isSupported(process.versions.node)) {
  console.error(`tenon: this is Node.js ${process.versions.node}, and Tenon needs ${OLDEST.join('.')} or newer: see https://nodejs.org/ (NODE_TOO_OLD)`)
  process.exit(125)
}
const build = fileURLToPath(new URL('./build.mjs', import.meta.url))
const { status, signal } = spawnSync(process.execPath, [build], { stdio: ['ignore', 2, 2] })
if (signal === 'SIGINT') process.exit(130)
if (status !== 0) {
  console.error('tenon: the set-up failed, as said above (SETUP_FAILED)')
  process.exit(125)
}
await import(new URL('../dist/cli/main.js', import.meta.url).href)
