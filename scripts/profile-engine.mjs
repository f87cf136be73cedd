/**
 * Chooses the interpreter's inline handlers and fused pairs: runs guests on an engine that counts every record's executions, and
 * writes src/cpu/interpreter/profile-data.ts. It boots the image `busybox` and runs a few programs in its shell; the boot and each
 * program weigh the same, however long they run.
 *
 *     npm run build && node scripts/profile-engine.mjs [--inline N] [--fused N]
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { ROOT } from './lib/run.mjs'

const { values } = parseArgs({ options: { inline: { type: 'string', default: '190' }, fused: { type: 'string', default: '130' } } })
const load = path => import(pathToFileURL(join(ROOT, 'dist', path)).href)

const { buildPartialEngine } = await load('cpu/interpreter/build-engine.js')
const { profileRecords } = await load('cpu/interpreter/profile.js')
const { Machine } = await load('vmm/machine.js')
const { Pool } = await load('machine/pool.js')
const { openKernel } = await load('vmm/boot/kernel-image.js')
const { openImage } = await load('host/images/open-image.js')

/** Where the counters stand in a pool of 1 GiB whose middle nothing uses: above the arena, below the guest's frames. */
const COUNTS_AT = 192 << 20
const POOL_SIZE = 1 << 30
const MEMORY = 256 << 20
/** BusyBox's shell asks the terminal for the cursor's place behind its prompt. */
const PROMPTS = ['# ', '# \x1b[6n']
/** What is typed at each prompt. */
const PROGRAMS = [
  'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done',
  'head -c 3000000 /dev/zero | sha256sum',
  'seq 1 200000 > /tmp/text; gzip -c /tmp/text | wc -c',
  'i=0; while [ $i -lt 60 ]; do /bin/busybox true; i=$((i+1)); done',
  "awk 'BEGIN { x = 0; for (i = 0; i < 20000; i++) x += i * 1.5 / 3.7; print x }'",
  'find / -xdev | sort | md5sum',
  'poweroff -f',
].map(line => `${line}\n`)

const engine = buildPartialEngine({ inline: [], fused: [] }, COUNTS_AT)
/** `line` prompts have been seen; `typed` characters of that line's program were sent. */
const console_ = { text: '', line: -1, typed: 0 }

function nextKey() {
  const program = PROGRAMS[console_.line] ?? ''
  if (console_.typed < program.length) return program.charCodeAt(console_.typed++)
  return -1
}

const machine = new Machine({
  pool: Pool.create(POOL_SIZE), memory: MEMORY, engine: new WebAssembly.Module(engine.bytes),
  serial: [{
    transmit: byte => { console_.text += String.fromCharCode(byte); return true },
    receive: nextKey,
  }],
  hostNow: () => performance.now() * 1e6, wallClock: Date.now, random: () => Math.floor(Math.random() * 2 ** 32),
})
const image = await openImage('busybox', {})
machine.boot({ kernel: await openKernel(image.kernel), initrd: image.initrd, commandLine: `console=ttyS0 quiet ${image.commandLine}` })

/** Counters by record, and what they had come to at the end of the last phase. */
const counters = machine.frames.pool.u32.subarray(COUNTS_AT >>> 2, (COUNTS_AT + (64 << 20 >>> 3)) >>> 2)
const before = new Uint32Array(counters.length)
const weights = new Float64Array(counters.length)

/** A prompt ends a phase: its executions, in proportion to each other, go to the weights. */
function endPhase() {
  let total = 0
  for (let i = 0; i < counters.length; i++) total += counters[i] - before[i]
  for (let i = 0; i < counters.length; i++) {
    weights[i] += (counters[i] - before[i]) / total
    before[i] = counters[i]
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4))
for (;;) {
  const outcome = machine.run(20_000)
  if (outcome.state === 'ended') break
  if (outcome.state === 'halted') Atomics.wait(pause, 0, 0, Math.max(0, Math.min(10, (outcome.wakeAt - machine.clock.now()) / 1e6)))
  if (PROMPTS.some(prompt => console_.text.endsWith(prompt))) {
    endPhase()
    console_.text = ''
    console_.line++
    console_.typed = 0
    machine.serial[0].receiveReady()
  }
}

const { pool } = machine.frames
const profile = profileRecords({
  u16: new Uint16Array(pool.buffer), slot: machine.vcpu.processor.state.slot,
  traces: machine.vcpu.engine.cache.traces(), handlers: engine.engine.handlers,
  weightOf: record => weights[record >>> 5],
}, { inline: Number(values.inline), fused: Number(values.fused) })
const quoted = text => `'${text}'`
writeFileSync(join(ROOT, 'src', 'cpu', 'interpreter', 'profile-data.ts'), `/** Written by \`scripts/profile-engine.mjs\`: do not edit. */
import type { Profile } from './profile.ts'

export const PROFILE: Profile = {
  inline: [
${profile.inline.map(key => `    ${quoted(key)},`).join('\n')}
  ],
  fused: [
${profile.fused.map(([first, second]) => `    [${quoted(first)}, ${quoted(second)}],`).join('\n')}
  ],
}
`)
console.log(`profile: ${profile.inline.length} inline forms cover ${(profile.coverage * 100).toFixed(1)} % of ${machine.retired} instructions`)
