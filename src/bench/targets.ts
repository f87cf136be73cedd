import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { TenonGuest } from './guests/tenon.ts'
import type { V86Guest } from './guests/v86.ts'
import type { GuestCommand } from './measure.ts'

/** Files that a guest is booted from. */
export interface GuestFiles {
  readonly kernel: string
  readonly initrd: string
  /** PC firmware, for the targets that need it. */
  readonly bios: string
  readonly videoBios: string
}

export type Architecture = 'amd64' | 'i386'

/** Something that boots a guest, to be measured. */
export interface Target {
  readonly name: string
  readonly architecture: Architecture
  /** Whether it is measured when nothing is said. */
  readonly isDefault: boolean
  /** Resolves with its version, or undefined if it is not installed. */
  version(): Promise<string | undefined>
  command(files: GuestFiles): GuestCommand
}

const MEMORY_MEBIBYTES = 256
const MEMORY_BYTES = MEMORY_MEBIBYTES * 1024 ** 2
const COMMAND_LINE = 'console=ttyS0 quiet loglevel=1 panic=-1'

const fromHere = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const TENON_GUEST = fromHere('guests/tenon.js')
const ENGINE = fromHere('../engine.wasm')
const V86_GUEST = fromHere('guests/v86.js')

/** In the order of the columns. The targets of one architecture boot the same files. */
export const TARGETS: readonly Target[] = [
  tenon('tenon', 'amd64', true),
  qemu('qemu', 'amd64', true),
  { name: 'v86', architecture: 'i386', isDefault: true, version: v86Version, command: v86Command },
  tenon('tenon-i386', 'i386', false),
  qemu('qemu-i386', 'i386', false),
]

function tenon(name: string, architecture: Architecture, isDefault: boolean): Target {
  return {
    name,
    architecture,
    isDefault,
    version: async () => existsSync(ENGINE) ? packageVersion('../../package.json') : undefined,
    command: ({ kernel, initrd }) => {
      const guest: TenonGuest = { kernelFile: kernel, initrdFile: initrd, commandLine: COMMAND_LINE, memoryBytes: MEMORY_BYTES }
      return { program: process.execPath, args: [TENON_GUEST, JSON.stringify(guest)], reports: true }
    },
  }
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
    command: ({ kernel, initrd }) => ({
      program,
      args: [
        '-accel', 'tcg', '-m', `${MEMORY_MEBIBYTES}M`, '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio',
        '-kernel', kernel, '-initrd', initrd, '-append', COMMAND_LINE,
      ],
      reports: false,
    }),
  }
}

async function v86Version(): Promise<string | undefined> {
  try {
    return packageVersion('v86/package.json')
  } catch {
    return undefined
  }
}

function v86Command({ kernel, initrd, bios, videoBios }: GuestFiles): GuestCommand {
  const guest: V86Guest = {
    kernelFile: kernel, initrdFile: initrd, biosFile: bios, videoBiosFile: videoBios,
    commandLine: COMMAND_LINE, memoryBytes: MEMORY_BYTES,
  }
  return { program: process.execPath, args: [V86_GUEST, JSON.stringify(guest)], reports: true }
}

function packageVersion(specifier: string): string {
  return (createRequire(import.meta.url)(specifier) as { version: string }).version
}
