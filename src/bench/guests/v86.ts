/** Runs one guest in v86, `node v86.js '{"kernelFile": …}'`, until it is killed. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { GuestConsole } from './guest-console.ts'

export interface V86Guest {
  readonly kernelFile: string
  readonly initrdFile: string
  readonly biosFile: string
  readonly videoBiosFile: string
  readonly commandLine: string
  readonly memoryBytes: number
}

const guest = JSON.parse(process.argv[2]) as V86Guest
const file = (path: string): { buffer: ArrayBuffer } => ({ buffer: new Uint8Array(readFileSync(path)).buffer })

const { V86 } = await import('v86')
const emulator = new V86({
  wasm_path: fileURLToPath(new URL('v86.wasm', import.meta.resolve('v86'))),
  bios: file(guest.biosFile),
  vga_bios: file(guest.videoBiosFile),
  bzimage: file(guest.kernelFile),
  initrd: file(guest.initrdFile),
  cmdline: guest.commandLine,
  memory_size: guest.memoryBytes,
  autostart: true,
})

/** v86 counts modulo 2^32, which it passes every few seconds. */
let instructions = 0
function count(): number {
  const now = emulator.get_instruction_counter()
  instructions += (now - instructions) >>> 0
  return instructions
}
emulator.add_listener('emulator-started', () => setInterval(count, 500))

const guestConsole = new GuestConsole(count)
let line = ''
emulator.add_listener('serial0-output-byte', (byte: number) => {
  line += String.fromCharCode(byte)
  if (byte !== 10) return
  guestConsole.write(line)
  line = ''
})
