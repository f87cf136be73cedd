/** Runs hot programs on the real processor: builds the C harness, gives it programs and reads what they did. Linux on x86-64 only. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { HotProgram } from '../../test/differential/hot/assemble.ts'
import { digest, EVENT_WORDS, hasErrorCode, MAXIMUM_EVENTS, XMM_WORDS } from '../../test/differential/hot/outcome.ts'
import type { Event, Outcome } from '../../test/differential/hot/outcome.ts'
import { ByteReader, ByteWriter } from '../../test/vectors/bytes.ts'
import { backgroundData, CODE_SIZE, DATA_SIZE } from '../../test/vectors/environment.ts'
import { Word } from '../../test/vectors/state.ts'

const NOP = 0x90
const LOST = 0xffffffff
const WORDS = EVENT_WORDS + XMM_WORDS
const EVENT_SIZE = 24 + WORDS * 8

/** A compiled harness in a temporary folder; `close` removes it. */
export class NativeProcessor {
  private readonly folder = mkdtempSync(join(tmpdir(), 'programs-'))

  constructor() {
    const flags = ['-O1', '-Wall', '-Wextra', '-Werror', '-fno-stack-protector', '-mno-red-zone', '-Wl,-z,now']
    execFileSync('gcc', [...flags, '-o', this.path('harness'), join(import.meta.dirname, 'harness.c')], { stdio: 'inherit' })
  }

  private path(name: string): string { return join(this.folder, name) }

  run(programs: readonly HotProgram[]): Outcome[] {
    writeFileSync(this.path('input'), encode(programs))
    execFileSync(this.path('harness'), [this.path('input'), this.path('output')], { stdio: 'inherit' })
    const from = new ByteReader(readFileSync(this.path('output')))
    return programs.map(() => readOutcome(from))
  }

  close(): void { rmSync(this.folder, { recursive: true }) }
}

function encode(programs: readonly HotProgram[]): Uint8Array {
  const to = new ByteWriter()
  to.u32(programs.length)
  to.u32(0)
  to.bytes(backgroundData().subarray(0, DATA_SIZE))
  for (const { handler, state, code, offset, lengths } of programs) {
    to.u32(handler)
    to.u32(0)
    for (const word of [...state.subarray(0, 18), state[Word.MXCSR], ...state.subarray(Word.XMM, Word.XMM + XMM_WORDS)]) to.u64(word)
    const pages = new Uint8Array(CODE_SIZE).fill(NOP)
    pages.set(code, offset)
    to.bytes(pages)
    to.bytes(lengths)
  }
  return to.finish()
}

function readOutcome(from: ByteReader): Outcome {
  const count = from.u32()
  from.u32()
  const end = from.at + MAXIMUM_EVENTS * EVENT_SIZE
  const outcome = count === LOST ? undefined : Array.from({ length: count }, () => readEvent(from))
  from.at = end
  return outcome
}

function readEvent(from: ByteReader): Event {
  const vector = from.u32(), errorCode = from.u32(), memoryDigest = from.u32()
  from.u32()
  const address = from.u64()
  const words = BigUint64Array.from({ length: EVENT_WORDS }, () => from.u64())
  const xmm = BigUint64Array.from({ length: XMM_WORDS }, () => from.u64())
  return {
    vector, errorCode: hasErrorCode(vector) ? errorCode & ~presentToKernel(vector, address) : 0, address: vector === 14 ? address : 0n,
    words, xmm, xmmDigest: digest(new Uint32Array(xmm.buffer)), memoryDigest,
  }
}

/** Bit P, where a program reached for what the kernel maps for itself: here nothing is there. */
const presentToKernel = (vector: number, address: bigint): number => vector === 14 && address >> 63n !== 0n ? 1 : 0
