import { beforeAll, expect, it } from 'vitest'
import { gpa } from '../base/addresses.ts'
import { buildPartialEngine } from '../cpu/interpreter/build-engine.ts'
import { PROFILE } from '../cpu/interpreter/profile-data.ts'
import type { CpuModel } from '../cpu/system/cpu-model.ts'
import { busyGuest } from './testing/busy-guest.ts'
import { DeterministicMachine } from './testing/deterministic-machine.ts'

let engine: WebAssembly.Module
beforeAll(() => { engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>) })

async function started(cpu?: CpuModel): Promise<DeterministicMachine> {
  const guest = new DeterministicMachine(4 << 20, engine, cpu)
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

it('what the CPU model lacks is #UD', async () => {
  const ran = await Promise.all((['x86-64-v2', 'max'] as const).map(async (cpu) => {
    const { machine } = await started(cpu)
    machine.memory.write(gpa(CODE), Uint8Array.of(0xfa, 0xf3, 0x0f, 0xbd, 0xc1, 0x66, 0x0f, 0x38, 0xf6, 0xc1, 0x90)) // CLI; LZCNT; ADCX; NOP
    machine.memory.write(gpa(0x20030), Uint8Array.of(0, 1, 8, 0, 0, 0x8e, 0x30, 0))
    const { state } = machine.vcpu.processor
    state.rip = BigInt(CODE)
    state.setGpr(1, 1n)
    machine.runExactly(2)
    const leadingZeros = state.gpr32(0)
    machine.runExactly(1)
    return [leadingZeros, state.rip]
  }))
  // BSR there, LZCNT here; then the handler, or the instruction after ADCX.
  expect(ran).toEqual([[0, BigInt(CODE + 0x100)], [31, BigInt(CODE + 10)]])
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
