import { beforeAll, expect, it } from 'vitest'
import { gpa } from '../base/addresses.ts'
import { buildPartialEngine } from '../cpu/interpreter/build-engine.ts'
import { PROFILE } from '../cpu/interpreter/profile-data.ts'
import { busyGuest } from './testing/busy-guest.ts'
import { DeterministicMachine } from './testing/deterministic-machine.ts'

let engine: WebAssembly.Module
beforeAll(() => { engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>) })

async function started(): Promise<DeterministicMachine> {
  const guest = new DeterministicMachine(4 << 20, engine)
  guest.machine.boot({ kernel: await busyGuest(), commandLine: '' })
  guest.runTo(1000)
  return guest
}

const UD2 = Uint8Array.of(0x0f, 0x0b)
const CODE = 0x300000

it('a slice ends although its guest only faults', async () => {
  const { machine } = await started()
  // Vector 6 of the guest's IDT leads to UD2, which raises it again.
  machine.memory.write(gpa(0x20030), Uint8Array.of(0, 0, 8, 0, 0, 0x8e, 0x30, 0))
  machine.memory.write(gpa(CODE), UD2)
  machine.vcpu.processor.state.rip = BigInt(CODE)
  const before = machine.retired
  for (const run of [() => machine.run(10_000), () => machine.runExactly(10_000)]) expect(run()).toEqual({ state: 'running' })
  expect(machine.retired).toBe(before)
  expect(machine.vcpu.processor.state.rip).toBe(BigInt(CODE))
})

it('an exact run counts a repeated string instruction once, wherever its pages are', async () => {
  const { machine } = await started()
  const { state } = machine.vcpu.processor
  machine.memory.write(gpa(CODE), Uint8Array.of(0xfa, 0xf3, 0xaa, 0x90, 0x90, 0x90)) // CLI; REP STOSB; NOPs
  state.rip = BigInt(CODE)
  state.setGpr(7, 0x310ffen)
  state.setGpr(1, 0x5000n)
  const before = machine.retired
  machine.runExactly(3)
  expect([machine.retired - before, state.gpr(1), state.gpr(7), state.rip]).toEqual([3, 0n, 0x315ffen, BigInt(CODE + 4)])
})

const RESUME_FLAG = 0x10000
const HANDLER = CODE + 0x100

/** Runs CLI; REPNE SCASB of 256 bytes; JMP $ for so many executions, then takes an NMI. What that saves: EIP, and RF. */
async function interruptedScan(executions: number): Promise<{ eip: number, rf: boolean, left: bigint }> {
  const { machine } = await started()
  const { processor } = machine.vcpu
  const { state } = processor
  machine.memory.write(gpa(0x20010), Uint8Array.of(0, HANDLER >> 8 & 0xff, 8, 0, 0, 0x8e, HANDLER >> 16, 0))
  machine.memory.write(gpa(HANDLER), Uint8Array.of(0xeb, 0xfe))
  machine.memory.write(gpa(CODE), Uint8Array.of(0xfa, 0xf2, 0xae, 0xeb, 0xfe))
  state.rip = BigInt(CODE)
  state.setGpr(0, 0xffn)
  state.setGpr(1, 0x100n)
  state.setGpr(7, 0x310000n)
  machine.run(executions)
  processor.nonMaskableInterrupt()
  machine.run(1)
  const frame = Number(state.gpr(4))
  expect(state.rip).toBe(BigInt(HANDLER))
  const flags = machine.memory.readU32(gpa(frame + 8))
  return { eip: machine.memory.readU32(gpa(frame)), rf: (flags & RESUME_FLAG) !== 0, left: state.gpr(1) }
}

it('an interrupt between the iterations of a repeated instruction saves RF set', async () => {
  const { eip, rf, left } = await interruptedScan(50)
  expect([eip, rf]).toEqual([CODE + 1, true])
  expect(left).toBeGreaterThan(0n)
})

it('an interrupt after a repeated instruction saves RF clear', async () => {
  expect(await interruptedScan(1000)).toEqual({ eip: CODE + 3, rf: false, left: 0n })
})

it('an interrupt before a repeated instruction saves RF clear', async () => {
  expect(await interruptedScan(1)).toEqual({ eip: CODE + 1, rf: false, left: 0x100n })
})

it.each(['run', 'runExactly'] as const)('a store to the APIC that interrupts is counted as any other instruction: %s', async (run) => {
  const { machine } = await started()
  const { state } = machine.vcpu.processor
  machine.memory.write(gpa(0x20108), Uint8Array.of(0, HANDLER >> 8 & 0xff, 8, 0, 0, 0x8e, HANDLER >> 16, 0))
  machine.memory.write(gpa(HANDLER), Uint8Array.of(0x40, 0xeb, 0xfd)) // INC EAX; JMP back
  // NOP; STI; NOP; MOV [FEE00300], 40021; INC EBX
  machine.memory.write(gpa(CODE), Uint8Array.of(0x90, 0xfb, 0x90, 0xc7, 5, 0, 3, 0xe0, 0xfe, 0x21, 0, 4, 0, 0x43))
  state.rip = BigInt(CODE)
  state.setGpr(0, 0n)
  state.setGpr(3, 0n)
  const before = machine.retired
  machine[run](10_000)
  const instructions = machine.retired - before
  const inTheLoop = state.rip === BigInt(HANDLER) ? 2 * Number(state.gpr(0)) : 2 * Number(state.gpr(0)) - 1
  expect([state.gpr(3), instructions]).toEqual([0n, 4 + inTheLoop])
  expect(instructions).toBeGreaterThanOrEqual(10_000)
})
