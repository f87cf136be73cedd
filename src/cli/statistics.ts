/** A machine's figures as text: what `--stats` and Ctrl-A s show. */
import type { MachineStatistics } from '../host/machine/statistics.ts'

const count = (value: number): string => Math.round(value).toLocaleString('en-US')
const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`
const percent = (part: number, whole: number): string => (whole === 0 ? '' : ` (${(100 * part / whole).toFixed(1)} %)`)

/** Lines of a table. */
export function statisticsTable(s: MachineStatistics): string[] {
  const mips = s.busyMilliseconds === 0 ? 0 : s.instructions / s.busyMilliseconds / 1000
  const rows: [string, string][] = [
    ['busy', seconds(s.busyMilliseconds)],
    ['instructions', `${count(s.instructions)} (${mips.toFixed(0)} MIPS)`],
    ['  translated', `${count(s.translated)}${percent(s.translated, s.instructions)}`],
    ['  interpreted', `${count(s.instructions - s.translated)}${percent(s.instructions - s.translated, s.instructions)}`],
    ['regions made', `${count(s.regionsMade)} of ${count(s.regionInstructions)} instructions`],
    ['  in use, removed', `${count(s.regionsLive)}, ${count(s.regionsRemoved)}`],
    ['  entered', `${count(s.regionEntries)} times${s.regionEntries === 0 ? '' : `, for ${(s.translated / s.regionEntries).toFixed(0)} instructions`}`],
    ['  left on a miss', count(s.regionMisses)],
    ['  page checks', count(s.pageChecks)],
    ['compiling thread', `${seconds(s.emitMilliseconds + s.compileMilliseconds)} (emitting ${seconds(s.emitMilliseconds)}, V8 ${seconds(s.compileMilliseconds)})`],
    ['TLB misses', count(s.tlbMisses)],
    ['jump-cache misses', count(s.jumpMisses)],
    ['decoded', `${count(s.decoded)} instructions`],
    ['code overwritten', `${count(s.invalidations)} pages`],
  ]
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  return rows.map(([name, value]) => name.padEnd(width) + value)
}
