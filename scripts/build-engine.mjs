/** Writes the interpreter engine, built from the compiled instruction descriptions, to `dist/engine.wasm`. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ROOT } from './lib/run.mjs'

const DIST = join(ROOT, 'dist')
const load = path => import(pathToFileURL(join(DIST, path)).href)

const { buildEngineFile } = await load('cpu/interpreter/build-engine.js')
const { PROFILE } = await load('cpu/interpreter/profile-data.js')
const engine = buildEngineFile(PROFILE)
if (!WebAssembly.validate(engine.bytes)) throw new Error('the engine is not valid WebAssembly')
writeFileSync(join(DIST, 'engine.wasm'), engine.bytes)
console.log(`build: ${engine.forms} forms, ${engine.inline - engine.refused.length} inline, loop of ${engine.loopSize} bytes`)
