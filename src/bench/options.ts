import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import { loopWorkloads } from './loops/workloads.ts'
import { ENGINES } from '../host/machine/engines.ts'
import type { CourseOptions } from './course.ts'
import { DEBIAN_WORKLOADS } from './courses/debian.ts'
import { diskWorkloads } from './courses/disk-workloads.ts'
import { networkWorkloads } from './courses/network-workloads.ts'
import { TARGETS } from './targets.ts'
import { DEFAULT_SUITES, SUITES, shellWorkloads } from './workloads.ts'
import type { Suite, Workload } from './workloads.ts'

/** What the command line says. */
export interface Options extends CourseOptions {
  /** None is those that are run when nothing is said. */
  readonly suites: readonly Suite[]
  readonly only?: readonly string[]
  readonly json?: string
}

/** The word for no workload: the boot is always measured. */
const BOOT = 'boot'

const TARGET_NAMES = TARGETS.map(({ name }) => name)
const WORKLOAD_NAMES = [BOOT, ...allWorkloads(false).map(({ name }) => name)]

function allWorkloads(isQuick: boolean): Workload[] {
  return [...shellWorkloads(isQuick), ...loopWorkloads(isQuick), ...diskWorkloads(isQuick), ...networkWorkloads(isQuick), ...DEBIAN_WORKLOADS]
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
    .addArgument(new Argument('[suites...]', `which workloads (default: ${DEFAULT_SUITES.join(' and ')})`).choices(SUITES))
    .option('--runs <n>', 'boots of each target', positive, 3)
    .option('--only <workloads>', `comma-separated: ${WORKLOAD_NAMES.join(', ')}`, listOf(WORKLOAD_NAMES))
    .option('--targets <names>', `comma-separated: ${TARGET_NAMES.join(', ')}`, listOf(TARGET_NAMES))
    .addOption(new Option('--engine <name>', 'what Tenon runs the guest with').choices(ENGINES).default('auto'))
    .option('--quick', 'about a tenth of the work', false)
    .option('--json <file>', 'write every run, the medians and the ratios to this file')
    .addOption(new Option('--disk-format <name>', 'of the disk in the suite disk').choices(['raw', 'qcow2']).default('raw'))
    .option('--packages <folder>', 'keep Debian\'s packages in this folder (default: in the cache); what it has is not fetched')
    .option('--timeout <seconds>', 'give a run up after this long', positive, 900)
    .parse(args, { from: 'user' })
  return { ...command.opts<Omit<Options, 'suites'>>(), suites: command.args as Suite[] }
}

/** The suites that are asked for: by name, or by single workloads. */
export function chosenSuites({ suites, only }: Pick<Options, 'suites' | 'only'>): readonly Suite[] {
  if (suites.length > 0) return suites
  const named = allWorkloads(false).filter(({ name }) => only?.includes(name)).map(({ suite }) => suite)
  return named.length > 0 ? [...new Set(named)] : DEFAULT_SUITES
}

/** The workloads that the options ask for. */
export function chosenWorkloads(options: Pick<Options, 'suites' | 'only' | 'quick'>): Workload[] {
  const suites = chosenSuites(options)
  return allWorkloads(options.quick).filter(({ name, suite }) => suites.includes(suite) && (options.only?.includes(name) ?? true))
}
