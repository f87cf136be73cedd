import { beforeEach, describe, expect, test } from 'vitest'
import { LinearMemory } from '../mmu/linear-memory.ts'
import { Block, ExitCode, Slot } from '../state/layout.ts'
import { Activity } from '../system/events.ts'
import { HelperOutcome } from '../system/outcome.ts'
import { TestCoprocessor } from '../testing/processor-rig.ts'
import { MemoryRig } from '../testing/rig.ts'
import { x87Helpers } from './helpers.ts'

const [PE, NE] = [1, 0x20]
const PENDING_INVALID = 0x8081
const FLD1 = 0x1e8
const FNCLEX = 0x3e2
const FLDCW = 0x128
const FLD_M64 = 0x500
const FSTP_M64 = 0x518
const MATH_FAULT = 16

const rig = new MemoryRig(64)
const { state } = rig
const coprocessor = new TestCoprocessor()
const cpu = { state, memory: new LinearMemory(rig.mmu), environment: { coprocessor }, stepTrap: false }

beforeEach(() => {
  state.setBlockU32(Block.CR0, PE | NE)
  state.setSlotU16(Slot.FCW, 0x37f)
  state.setSlotU16(Slot.FSW, 0)
  state.setSlotU16(Slot.FTW, 0)
  state.rip = 0x1234n
})

function call(name: string, ...args: bigint[]): number {
  args.forEach((value, n) => state.setBlockU64(Block.ARGUMENTS + 16 * n, value))
  return x87Helpers[name](cpu)
}

describe('a pending exception', () => {
  beforeEach(() => state.setSlotU16(Slot.FSW, PENDING_INVALID))

  test('stops waiting instructions, which do nothing', () => {
    expect(call('x87Register', BigInt(FLD1), 0n)).toBe(HelperOutcome.FAULT)
    expect(state.slotU32(Slot.EXIT_VECTOR)).toBe(MATH_FAULT)
    expect(state.slotU16(Slot.FTW)).toBe(0)
    expect(call('checkMathFault')).toBe(HelperOutcome.FAULT)
  })

  test('does not stop FNCLEX, which clears it', () => {
    expect(call('x87Register', BigInt(FNCLEX), 0n)).toBe(HelperOutcome.OK)
    expect(state.slotU16(Slot.FSW)).toBe(0)
  })

  describe('without CR0.NE', () => {
    beforeEach(() => {
      state.setBlockU32(Block.CR0, PE)
      state.setSlotU16(Slot.FCW, 0x37e)
      state.setBlockU32(Block.HALTED, Activity.RUNNING)
      Object.assign(coprocessor, { error: false, ignoresError: false })
    })

    test.each(['checkMathFault', 'x87Register', 'FLDENV'])('asserts FERR# at %s, which waits for an interrupt', (name) => {
      expect(call(name, BigInt(FLD1), 0n)).toBe(HelperOutcome.FAULT)
      expect([state.slotU32(Slot.EXIT_CODE), state.blockU32(Block.HALTED)]).toEqual([ExitCode.RESYNC, Activity.HALTED])
      expect([coprocessor.error, state.slotU16(Slot.FTW), state.rip]).toEqual([true, 0, 0x1234n])
    })

    test('stops nothing while IGNNE# is asserted', () => {
      coprocessor.ignoresError = true
      expect(call('checkMathFault')).toBe(HelperOutcome.OK)
      expect(call('x87Register', BigInt(FLD1), 0n)).toBe(HelperOutcome.OK)
      expect([coprocessor.error, state.blockU32(Block.HALTED)]).toEqual([true, Activity.RUNNING])
    })

    test.each<[string, ...bigint[]]>([
      ['x87Register', BigInt(FNCLEX), 0n], ['x87Memory', 0x37fn, BigInt(FLDCW), 0n], ['FNSAVE', 0x1000n, 32n], ['FNSTENV', 0x1000n, 32n],
    ])('releases FERR# at %s that clears or masks it', (name, ...args) => {
      call('checkMathFault')
      expect(coprocessor.error).toBe(true)
      expect(call(name, ...args)).toBe(HelperOutcome.OK)
      expect(coprocessor.error).toBe(false)
    })

    test('FERR# stays as long as the exception is pending', () => {
      call('checkMathFault')
      coprocessor.ignoresError = true
      call('x87Register', BigInt(FLD1), 0n)
      expect(coprocessor.error).toBe(true)
    })
  })
})

test('the last instruction and operand are kept, but not of control instructions', () => {
  expect(call('x87Memory', 0x3ff0000000000000n, BigInt(FLD_M64), 0x5678n)).toBe(HelperOutcome.OK)
  const pointers = (): unknown[] => [state.slotU16(Slot.FOP), state.slotU64(Slot.FIP), state.slotU64(Slot.FDP)]
  expect(pointers()).toEqual([FLD_M64, 0x1234n, 0x5678n])
  state.rip = 0x9999n
  call('x87Register', BigInt(FNCLEX), 0n)
  expect(pointers()).toEqual([FLD_M64, 0x1234n, 0x5678n])
})

test('a store says whether there is anything to store', () => {
  const stored = (): number => state.blockU32(Block.RESULT + 12)
  call('x87Memory', 0x4008000000000000n, BigInt(FLD_M64), 0n)
  call('x87Memory', 0n, BigInt(FSTP_M64), 0n)
  expect([stored(), state.blockU64(Block.RESULT)]).toEqual([1, 0x4008000000000000n])
  state.setSlotU16(Slot.FCW, 0x37e)
  call('x87Memory', 0n, BigInt(FSTP_M64), 0n)
  expect(stored()).toBe(0)
})

test('FNSAVE stores 108 bytes and initialises, FRSTOR brings them back', () => {
  call('x87Memory', 0x3ff8000000000000n, BigInt(FLD_M64), 0n)
  const status = state.slotU16(Slot.FSW)
  expect(call('FNSAVE', 0x2000n, 32n)).toBe(HelperOutcome.OK)
  expect([state.slotU16(Slot.FSW), state.slotU16(Slot.FTW)]).toEqual([0, 0])
  expect(call('FRSTOR', 0x2000n, 32n)).toBe(HelperOutcome.OK)
  expect([state.slotU16(Slot.FSW), state.slotU16(Slot.FTW)]).toEqual([status, 0x80])
})
