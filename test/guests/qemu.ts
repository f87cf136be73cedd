/**
 * Runs a guest in QEMU's TCG: the same image, put into memory by QEMU's loader device, behind a boot ROM that only jumps to it. The
 * guest sends its records through the debug console.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Place, Variable } from './layout.ts'
import type { Guest } from './monitor.ts'
import { decodeRecords } from './outcome.ts'
import type { Outcome } from './outcome.ts'

const QEMU = 'qemu-system-x86_64'
const TIMEOUT = 20_000
/** What isa-debug-exit makes of the byte written: 2 * value + 1. */
const ODD_EXIT = 1
const ROM_SIZE = 0x10000

export const hasQemu = (): boolean => spawnSync(QEMU, ['--version']).status === 0

export async function runInQemu(guest: Guest): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-guest-'))
  try {
    const status = await run(QEMU, qemuArguments(guest, folder))
    const ending = status === null ? 'hung' : (status & ODD_EXIT) !== 0 ? 'exit' : 'shutdown'
    const records = ending === 'exit' ? decodeRecords(readFileSync(join(folder, 'records'))) : []
    return { ending, records }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function qemuArguments(guest: Guest, folder: string): string[] {
  const dump = { address: Variable.DUMP, bytes: Uint8Array.of(1) }
  const loaders = [...guest.image, dump].flatMap(({ address, bytes }, n) => {
    const file = join(folder, `piece-${n}`)
    writeFileSync(file, bytes)
    return ['-device', `loader,file=${file},addr=0x${address.toString(16)},force-raw=on`]
  })
  writeFileSync(join(folder, 'rom'), bootRom())
  return [
    '-accel', 'tcg', '-machine', 'pc', '-cpu', 'max,vendor=GenuineIntel,phys-bits=40,la57=off', '-m', `${Place.MEMORY_END >> 20}M`,
    '-nodefaults', '-display', 'none', '-no-reboot', '-bios', join(folder, 'rom'), '-device', 'isa-debug-exit,iobase=0xf4,iosize=1',
    '-debugcon', `file:${join(folder, 'records')}`, ...loaders,
  ]
}

/** At the reset vector: JMP 0:ENTRY. */
function bootRom(): Uint8Array {
  const rom = new Uint8Array(ROM_SIZE)
  rom.set([0xea, Place.ENTRY & 0xff, Place.ENTRY >> 8, 0, 0], ROM_SIZE - 16)
  return rom
}

function run(command: string, args: readonly string[]): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] })
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT)
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve(code)
    })
  })
}
