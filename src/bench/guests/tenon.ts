/** Runs one guest in Tenon, `node tenon.js '{"kernelFile": …}'`, until it ends or is killed. */
import { readFileSync } from 'node:fs'
import type { EngineName } from '../../host/machine/engines.ts'
import { startMachine } from '../../host/machine/start.ts'
import { GuestConsole } from './guest-console.ts'

export interface TenonGuest {
  readonly kernelFile: string
  readonly initrdFile: string
  readonly commandLine: string
  readonly memoryBytes: number
  readonly engine: EngineName
}

const { kernelFile, initrdFile, commandLine, memoryBytes, engine } = JSON.parse(process.argv[2]) as TenonGuest
const guestConsole = new GuestConsole(() => machine.instructions ?? 0)
const receive = (bytes: Uint8Array): boolean => {
  guestConsole.write(Buffer.from(bytes).toString('latin1'))
  return true
}
const machine = await startMachine({
  kernel: readFileSync(kernelFile), initrd: readFileSync(initrdFile), commandLine, memoryBytes, engine, serial: [{ receive }],
})
const { reason, detail } = await machine.exited
if (reason !== 'power-off' && reason !== 'reset') console.error(`the guest ended: ${reason} (${detail})`)
process.exit(reason === 'power-off' || reason === 'reset' ? 0 : 1)
