import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { release } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { TenonError } from '../base/errors.ts'
import type { EngineName } from '../host/machine/engines.ts'
import type { TenonGuest } from './guests/tenon.ts'
import type { V86Guest } from './guests/v86.ts'
import { runWorkloads } from './image/init-script.ts'
import type { Architecture, MachinePlan, PlannedPeer } from './machine-plan.ts'
import { MARKER } from './markers.ts'
import type { GuestCommand } from './measure.ts'
import type { PeerCommand } from './peer-process.ts'
import { qemuArguments, qemuPeerArguments } from './qemu-arguments.ts'
import type { Suite, Workload } from './workloads.ts'

/** Something that boots a guest, to be measured. */
export interface Target {
  readonly name: string
  readonly architecture: Architecture
  /** Whether it is measured when nothing is said. */
  readonly isDefault: boolean
  /** Resolves with its version, or undefined if it is not installed. */
  version(): Promise<string | undefined>
  /** Called once before its first run. Throws TenonError. */
  prepare?(): Promise<void>
  /** What it can run. */
  readonly suites: readonly Suite[]
  command(plan: MachinePlan, options: TargetOptions): GuestCommand
}

export interface TargetOptions {
  /** Of Tenon: which of its engines runs the guest. */
  readonly engine: EngineName
  readonly workloads: readonly Workload[]
  /** For the host itself: the folder of the loops' program. */
  readonly folder: string
}

const fromHere = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const TENON_GUEST = fromHere('guests/tenon.js')
const COMMAND = fromHere('../cli/main.js')
const ENGINE = fromHere('../engine.wasm')
const V86_GUEST = fromHere('guests/v86.js')

/** In the order of the columns. */
export const TARGETS: readonly Target[] = [
  { name: 'native', architecture: 'amd64', isDefault: true, suites: ['loops'], version: nativeVersion, command: nativeCommand },
  tenon('tenon', 'amd64', true),
  {
    name: 'tenon-run', architecture: 'amd64', isDefault: true, suites: ['shell'],
    version: tenonVersion, prepare: fetchImage, command: tenonRun,
  },
  qemu('qemu', 'amd64', true),
  { name: 'v86', architecture: 'i386', isDefault: true, suites: ['shell'], version: v86Version, command: v86Command },
  tenon('tenon-i386', 'i386', false),
  qemu('qemu-i386', 'i386', false),
]

/** The loops, and the programs on disks, are of 64 bits. */
function suitesOf(architecture: Architecture): readonly Suite[] {
  return architecture === 'amd64' ? ['shell', 'loops', 'disk', 'network', 'debian'] : ['shell']
}

/** The host itself, if it can run what the guests run. */
async function nativeVersion(): Promise<string | undefined> {
  return process.platform === 'linux' && process.arch === 'x64' ? release() : undefined
}

function nativeCommand(_plan: MachinePlan, { workloads, folder }: TargetOptions): GuestCommand {
  const script = runWorkloads(workloads.filter(({ suite }) => suite === 'loops'), folder).join('\n')
  return { program: '/bin/sh', args: ['-c', script], environment: { PATH: `${folder}:${process.env.PATH}` }, reports: false }
}

function tenon(name: string, architecture: Architecture, isDefault: boolean): Target {
  return {
    name,
    architecture,
    isDefault,
    version: tenonVersion,
    suites: suitesOf(architecture),
    command: (plan, { engine }) => {
      const guest: TenonGuest = { plan, engine }
      return { program: process.execPath, args: [TENON_GUEST, JSON.stringify(guest)], reports: true }
    },
  }
}

async function tenonVersion(): Promise<string | undefined> {
  return existsSync(ENGINE) ? packageVersion('../../package.json') : undefined
}

/** What a user waits for: `tenon run` with an image that is in the cache, from its start to the first line of the guest's command. */
function tenonRun(_plan: MachinePlan, { engine }: TargetOptions): GuestCommand {
  const script = `echo ${MARKER} user-space; echo ${MARKER} done`
  const args = [COMMAND, 'run', '--engine', engine, '--', 'sh', '-c', script]
  return { program: process.execPath, args, reports: false }
}

/** The first start, which may have to fetch. Throws TenonError BENCH_GUEST_FAILED. */
async function fetchImage(): Promise<void> {
  await promisify(execFile)(process.execPath, [COMMAND, 'run', '--', 'true']).catch((cause: Error) => {
    throw new TenonError('BENCH_GUEST_FAILED', `tenon run does not start: ${cause.message}`, { cause })
  })
}

function qemu(name: string, architecture: Architecture, isDefault: boolean): Target {
  const program = 'qemu-system-x86_64'
  return {
    name,
    architecture,
    isDefault,
    version: async () => {
      const output = await promisify(execFile)(program, ['--version']).catch(() => undefined)
      return output === undefined ? undefined : /version (\S+)/.exec(output.stdout)?.[1] ?? 'unknown'
    },
    suites: suitesOf(architecture),
    command: plan => ({ program, args: qemuArguments(plan), reports: false, ...plan.peer && { peer: qemuPeer(program, plan.peer) } }),
  }
}

function qemuPeer(program: string, peer: PlannedPeer): PeerCommand {
  return { program, args: qemuPeerArguments(peer), socket: peer.socket }
}

async function v86Version(): Promise<string | undefined> {
  try {
    return packageVersion('v86/package.json')
  } catch {
    return undefined
  }
}

function v86Command({ kernel, initrd, firmware, commandLine, memoryBytes }: MachinePlan): GuestCommand {
  const guest: V86Guest = {
    kernelFile: kernel, initrdFile: initrd!, biosFile: firmware!.bios, videoBiosFile: firmware!.videoBios, commandLine, memoryBytes,
  }
  return { program: process.execPath, args: [V86_GUEST, JSON.stringify(guest)], reports: true }
}

function packageVersion(specifier: string): string {
  return (createRequire(import.meta.url)(specifier) as { version: string }).version
}
