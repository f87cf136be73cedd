import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import { loopWorkloads } from './loops/workloads.ts'
import { ENGINES, TARGETS } from './targets.ts'
import { SUITES, shellWorkloads } from './workloads.ts'
import type { Suite, Workload } from './workloads.ts'

/** What the command line says. */
export interface Options {
  /** None is all of them. */
  readonly suites: readonly Suite[]
  readonly runs: number
  readonly only?: readonly string[]
  readonly targets?: readonly string[]
  readonly engine: typeof ENGINES[number]
  readonly quick: boolean
  readonly json?: string
  readonly packages?: string
  readonly timeout: number
}

/** The word for no workload: the boot is always measured. */
const BOOT = 'boot'

const TARGET_NAMES = TARGETS.map(({ name }) => name)
const WORKLOAD_NAMES = [BOOT, ...allWorkloads(false).map(({ name }) => name)]

function allWorkloads(isQuick: boolean): Workload[] {
  return [...shellWorkloads(isQuick), ...loopWorkloads(isQuick)]
}

function positive(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 10_000) throw new InvalidArgumentError('It must be a whole number from 1 to 10000.')
  return value
}

function listOf(known: readonly string[]): (text: string) => string[] {
  return text => {
    const names = text.split(',')
    const unknown = names.find(name => !known.includes(name))
    if (unknown !== undefined) throw new InvalidArgumentError(`${JSON.stringify(unknown)} is none of ${known.join(', ')}.`)
    return names
  }
}

/** Reads the command line; says what is wrong with it, or helps, and ends the process. */
export function readOptions(args: readonly string[], command = new Command('npm run bench --')): Options {
  command
    .description('Boots the same guest in Tenon and in its peers, and compares their times.')
    .addArgument(new Argument('[suites...]', 'which workloads: of BusyBox, or compiled (default: both)').choices(SUITES))
    .option('--runs <n>', 'boots of each target', positive, 3)
    .option('--only <workloads>', `comma-separated: ${WORKLOAD_NAMES.join(', ')}`, listOf(WORKLOAD_NAMES))
    .option('--targets <names>', `comma-separated: ${TARGET_NAMES.join(', ')}`, listOf(TARGET_NAMES))
    .addOption(new Option('--engine <name>', 'what Tenon runs the guest with').choices(ENGINES).default('auto'))
    .option('--quick', 'about a tenth of the work', false)
    .option('--json <file>', 'write every run, the medians and the ratios to this file')
    .option('--packages <folder>', 'keep Debian\'s packages in this folder (default: in the cache); what it has is not fetched')
    .option('--timeout <seconds>', 'give a run up after this long', positive, 900)
    .parse(args, { from: 'user' })
  return { ...command.opts<Omit<Options, 'suites'>>(), suites: command.args as Suite[] }
}

/** The workloads that the options ask for. */
export function chosenWorkloads({ suites, only, quick }: Pick<Options, 'suites' | 'only' | 'quick'>): Workload[] {
  return allWorkloads(quick).filter(({ name, suite }) => (suites.length === 0 || suites.includes(suite)) && (only?.includes(name) ?? true))
}
