/**
 * How long the decoder takes. A program, not a test, because vitest's module wrapper slows the decoder down fourfold:
 * `npx esbuild tools/benchmarks/decoder.ts --bundle --format=esm --outfile=dist/benchmark.mjs && node dist/benchmark.mjs`.
 */
import { features, rows } from '../../src/cpu/isa/rows.ts'
import { Decoder } from '../../src/cpu/decode/decoder.ts'
import { encodeSample, SAMPLE_SHAPES } from '../../src/cpu/decode/encode-sample.ts'
import { Instruction } from '../../src/cpu/decode/instruction.ts'
import { seededRandom } from '../../src/cpu/decode/testing/random-code.ts'

const COUNT = 1000
const REPETITIONS = 2000
const COMMON = [
  '89', '8B', '8B', '8B', '8D mem', '83 /0', '83 /7', '39', '85', '31', '70+cc', '70+cc', '0F 80+cc', 'E8',
  '50+r', '58+r', '0F B6', '01',
]

const random = seededRandom(1)

/** `COUNT` 64-bit instructions of rows drawn from `chosen`. */
function codeOf(chosen: typeof rows): Uint8Array {
  const bytes: number[] = []
  for (let count = 0; count < COUNT;) {
    const row = chosen[random() % chosen.length]
    const operandSize = ([8, 16, 32, 64] as const)[random() % 4]
    const sample = encodeSample(row, { codeSize: 64, operandSize, shape: SAMPLE_SHAPES[random() % 3], random })
    if (sample === null) continue
    bytes.push(...sample)
    count++
  }
  return Uint8Array.from(bytes)
}

function measure(decoder: Decoder, name: string, bytes: Uint8Array): void {
  const instruction = new Instruction()
  const begin = performance.now()
  for (let repetition = 0; repetition < REPETITIONS; repetition++) {
    for (let at = 0; at < bytes.length;) at += decoder.decode(bytes, at, bytes.length, 64, instruction)
  }
  console.log(`${name}: ${((performance.now() - begin) * 1e6 / COUNT / REPETITIONS).toFixed(1)} ns an instruction`)
}

const begin = performance.now()
const decoder = new Decoder(features())
console.log(`making the decoder: ${(performance.now() - begin).toFixed(1)} ms`)
const common = codeOf(COMMON.map((opcode) => rows.find((row) => row.opcode === opcode)!))
const every = codeOf(rows)
for (let round = 0; round < 3; round++) {
  measure(decoder, 'common rows', common)
  measure(decoder, 'all rows', every)
}
