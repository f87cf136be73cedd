import { expect, test } from 'vitest'
import type { SerialPort } from '../../machine/serial.ts'
import type { EngineFigures } from '../../cpu/interpreter/figures.ts'
import type { RunOutcome } from '../../vmm/machine.ts'
import { Bell, MachineChannel } from './channel.ts'
import { HostClock } from './host-clock.ts'
import { LineBackend } from './line-backend.ts'
import { runUntilEnd } from './run-loop.ts'
import type { MachineExit } from './machine-exit.ts'

const FIGURES: EngineFigures = {
  instructions: 7, translated: 0, regionsMade: 0, regionInstructions: 0, regionsLive: 0, regionsRemoved: 0, regionEntries: 0, regionMisses: 0,
  pageChecks: 0, emitMilliseconds: 0, compileMilliseconds: 0, tlbMisses: 0, jumpMisses: 0, decoded: 0, invalidations: 0,
}
const END: RunOutcome = { state: 'ended', reason: 'power-off' }

/** Runs a machine whose slices are these functions. */
function run(
  slices: ((parts: { channel: MachineChannel, line: LineBackend }) => RunOutcome)[], looks: ((channel: MachineChannel) => boolean)[] = [],
): { exit: MachineExit, calls: string[], instructions: number } {
  const channel = new MachineChannel()
  const line = new LineBackend(channel, 0)
  const calls: string[] = []
  const port: SerialPort = {
    transmitReady: () => void calls.push('transmitReady'), receiveReady: () => void calls.push('receiveReady'),
    receiveBreak: () => true, setModemInputs: () => {},
  }
  line.connect(port)
  const machine = {
    clock: { now: () => performance.now() * 1e6 }, retired: 7, figures: FIGURES, powerButton: () => void calls.push('powerButton'), describe: () => 'RIP 0x1',
    run: () => slices.shift()!({ channel, line }),
  }
  const disks = { busy: true, settle: () => void calls.push('settle') }
  const controls = { apply: () => void calls.push('apply') }
  const control = {
    paused: false,
    look() {
      calls.push('look')
      this.paused = looks.shift()!(channel)
    },
  }
  const exit = runUntilEnd({ machine, channel, lines: [line], devices: controls, disks, control, hostClock: new HostClock(), notify: () => calls.push('notice') })
  return { exit, calls, instructions: new MachineChannel(channel.memory).instructions }
}

test.each<[RunOutcome, MachineExit]>([
  [END, { reason: 'power-off', detail: '' }],
  [{ state: 'ended', reason: 'triple-fault' }, { reason: 'triple-fault', detail: 'RIP 0x1' }],
  [{ state: 'ended', reason: 'reset' }, { reason: 'reset', detail: 'RIP 0x1' }],
  [{ state: 'halted', interruptible: false, wakeAt: Infinity }, { reason: 'halted', detail: 'RIP 0x1' }],
])('%j is the end', (outcome, exit) => {
  expect(run([() => ({ state: 'running' }), () => outcome]).exit).toEqual(exit)
})

test('the bell is answered between slices', () => {
  const ring = ({ channel }: { channel: MachineChannel }): RunOutcome => {
    channel.ring(Bell.INPUT | Bell.POWER_BUTTON | Bell.CONTROL)
    return { state: 'halted', interruptible: true, wakeAt: Infinity }
  }
  expect(run([ring, () => END]).calls).toEqual(['powerButton', 'apply', 'receiveReady'])
})

test('disks are settled between slices when they ring, whether the guest is busy or sleeps', () => {
  const ring = (outcome: RunOutcome) => ({ channel }: { channel: MachineChannel }): RunOutcome => {
    channel.ring(Bell.DISK)
    return outcome
  }
  const slices = [ring({ state: 'running' }), ring({ state: 'halted', interruptible: true, wakeAt: Infinity }), () => END]
  expect(run(slices).calls).toEqual(['settle', 'settle'])
})

test('a machine that is to stand still does nothing else meanwhile', () => {
  const ring = (bits: number) => ({ channel }: { channel: MachineChannel }): RunOutcome => {
    channel.ring(bits)
    return { state: 'running' }
  }
  const keepStill = (channel: MachineChannel): boolean => {
    channel.ring(Bell.POWER_BUTTON | Bell.SNAPSHOT)
    return true
  }
  const { calls } = run([ring(Bell.INPUT | Bell.SNAPSHOT), () => END], [keepStill, keepStill, () => false])
  expect(calls).toEqual(['receiveReady', 'look', 'look', 'look'])
  const again = run([ring(Bell.SNAPSHOT), ring(0), () => END], [keepStill, () => false])
  expect(again.calls).toEqual(['look', 'look', 'powerButton'])
})

test('a halted machine sleeps until its next timer', () => {
  const started = performance.now()
  run([() => ({ state: 'halted', interruptible: true, wakeAt: (started + 60) * 1e6 }), () => END])
  expect(performance.now() - started).toBeGreaterThan(55)
})

test('notices do not pile up while the main thread is away', () => {
  const send = ({ line }: { line: LineBackend }): RunOutcome => {
    line.transmit(65)
    return { state: 'running' }
  }
  const answered = ({ channel, line }: { channel: MachineChannel, line: LineBackend }): RunOutcome => {
    channel.noticeArrived()
    return send({ line })
  }
  expect(run([send, send, send, () => END]).calls).toEqual(['notice'])
  expect(run([send, send, answered, () => END]).calls).toEqual(['notice', 'notice'])
})

test('the main thread sees how far the guest is', () => {
  expect(run([() => END]).instructions).toBe(7)
})
