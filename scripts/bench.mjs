/** `npm run bench`: builds, then runs the benchmark of src/bench/ with the arguments that follow `--`. */
import { join } from 'node:path'
import { build } from './build.mjs'
import { ROOT, run } from './lib/run.mjs'

const isBuilt = await build()
process.exitCode = isBuilt ? (await run([process.execPath, join(ROOT, 'dist', 'bench', 'main.js'), ...process.argv.slice(2)])).status : 1
