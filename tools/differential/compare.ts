/**
 * Runs fresh random programs on the real processor and in every way here, and shows the first differences, shrunk.
 *
 *   npx vite-node tools/differential/compare.ts [FIRST [COUNT [WAY ...]]]
 *
 * Seeds from FIRST on (default: the time); ways by the names of test/differential/hot/all-ways.ts (default: all but single steps).
 */
import { allWays } from '../../test/differential/hot/all-ways.ts'
import { hotProgram, randomDraft } from '../../test/differential/hot/generate.ts'
import type { Draft } from '../../test/differential/hot/generate.ts'
import { hotListing } from '../../test/differential/hot/listing.ts'
import { compareOutcomes, DEFINED_FLAGS } from '../../test/differential/hot/outcome.ts'
import { shrink } from '../../test/differential/hot/shrink.ts'
import type { Way } from '../../test/differential/hot/ways.ts'
import { NativeProcessor } from './native.ts'

const BATCH = 50
const MAXIMUM_SHOWN = 5

const [firstText = String(Math.floor(Date.now() / 1000) % 1e6 * 1000), countText = '1000', ...names] = process.argv.slice(2)
const start = Number(firstText)
const last = start + Number(countText)
const processor = new NativeProcessor()
const ways = allWays().filter(({ name }) => names.length === 0 ? name !== 'stepping' : names.includes(name))
let programs = 0, ended = 0, events = 0, failures = 0

function differences(way: Way, draft: Draft): string[] {
  const program = hotProgram(draft)
  if (program === undefined) return []
  const [expected] = processor.run([program])
  return expected === undefined ? [] : compareOutcomes(expected, way.run(program), DEFINED_FLAGS)
}

function show(way: Way, seed: number, lines: readonly string[]): void {
  console.log(`\nseed ${seed}, ${way.name} against the processor\n${lines.slice(0, 12).join('\n')}`)
  if (failures++ >= MAXIMUM_SHOWN) return
  const kind = lines[1]?.split(':')[0]
  const small = shrink(randomDraft(seed), (draft) => differences(way, draft)[1]?.split(':')[0] === kind)
  console.log(`shrunk:\n${differences(way, small).join('\n')}\n${hotListing(hotProgram(small)!)}`)
}

for (let seed = start; seed < last; seed += BATCH) {
  const seeds = Array.from({ length: Math.min(BATCH, last - seed) }, (_, n) => seed + n)
  const batch = seeds.flatMap((number) => {
    const program = hotProgram(randomDraft(number))
    return program === undefined ? [] : [{ number, program }]
  })
  const outcomes = processor.run(batch.map(({ program }) => program))
  batch.forEach(({ number, program }, n) => {
    const expected = outcomes[n]
    programs++
    if (expected === undefined) return
    // The processor ends some programs that are too long for engines.
    const first = ways[0].run(program)
    if (first === undefined) return
    ended++
    events += expected.length
    ways.forEach((way, at) => {
      const lines = compareOutcomes(expected, at === 0 ? first : way.run(program), DEFINED_FLAGS)
      if (lines.length > 0) show(way, number, lines)
    })
  })
}
processor.close()
const regions = ways.map(({ name, regions: count }) => `${name} ${count}`).join(', ')
console.log(`${programs} programs, ${ended} ended, ${events} faults, ${failures} differences; regions translated: ${regions}`)
process.exitCode = failures === 0 ? 0 : 1
