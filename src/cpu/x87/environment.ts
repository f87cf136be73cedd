import { Category } from '../softfloat/number.ts'
import { Slot } from '../state/layout.ts'
import { fninit } from './control.ts'
import type { X87 } from './registers.ts'

/** The four layouts of FLDENV, FNSTENV, FRSTOR and FNSAVE (SDM Vol. 1 §8.1.10, figures 8-9 to 8-12). */
export type EnvironmentLayout = 'protected32' | 'real32' | 'protected16' | 'real16'

const ENVIRONMENT_32 = 28
const ENVIRONMENT_16 = 14
const REGISTERS_SIZE = 80

const is32 = (layout: EnvironmentLayout): boolean => layout === 'protected32' || layout === 'real32'

/** Size in bytes of the environment: 28 or 14. */
export function environmentSize(layout: EnvironmentLayout): number {
  return is32(layout) ? ENVIRONMENT_32 : ENVIRONMENT_16
}

/** Size in bytes of the whole state: 108 or 94. */
export function saveSize(layout: EnvironmentLayout): number { return environmentSize(layout) + REGISTERS_SIZE }

/** The full tag word: two bits a physical register, 0 valid, 1 zero, 2 special, 3 empty. */
export function fullTagWord(x87: X87): number {
  let tags = 0
  for (let i = 0; i < 8; i++) tags |= tagOf(x87, i) << ((x87.top + i & 7) * 2)
  return tags
}

function tagOf(x87: X87, i: number): number {
  if (x87.isEmpty(i)) return 3
  x87.load(x87.a, i)
  if (x87.a.category === Category.ZERO) return 1
  return x87.a.category === Category.FINITE && !x87.a.denormal ? 0 : 2
}

/** Takes from a full tag word which registers are empty; the rest is recomputed when it is needed. */
function setFullTagWord(x87: X87, word: number): void {
  let tags = 0
  for (let register = 0; register < 8; register++) if ((word >> (register * 2) & 3) !== 3) tags |= 1 << register
  x87.tags = tags
}

/** Writes the environment at `at`. Reserved halves of 32-bit fields are ones, as the processor writes them. */
function putEnvironment(x87: X87, view: DataView, at: number, layout: EnvironmentLayout): void {
  const words = [x87.controlWord, x87.statusWord, fullTagWord(x87)]
  const step = is32(layout) ? 4 : 2
  const put = (index: number, value: number): void => {
    if (step === 4) view.setUint32(at + index * 4, value, true)
    else view.setUint16(at + index * 2, value, true)
  }
  words.forEach((word, index) => put(index, (word | 0xffff0000) >>> 0))
  pointerFields(x87, layout).forEach((field, index) => put(index + 3, field >>> 0))
}

/** The four fields after the tag word. */
function pointerFields(x87: X87, layout: EnvironmentLayout): number[] {
  const { state } = x87
  const [ip, dp] = [state.slotU32(Slot.FIP), state.slotU32(Slot.FDP)]
  const [cs, ds] = [state.slotU16(Slot.FCS), state.slotU16(Slot.FDS)]
  const opcode = state.slotU16(Slot.FOP) & 0x7ff
  switch (layout) {
    case 'protected32': return [ip, cs | opcode << 16, dp, ds | 0xffff0000]
    case 'protected16': return [ip, cs, dp, ds]
    case 'real32': return realFields(cs * 16 + ip, ds * 16 + dp, opcode, 0xffff0000)
    case 'real16': return realFields(cs * 16 + ip, ds * 16 + dp, opcode, 0)
  }
}

/** Real-address layouts hold linear addresses, split: 16 bits, then the rest from bit 12 up, with the opcode below. */
function realFields(ip: number, dp: number, opcode: number, reserved: number): number[] {
  const low = (address: number): number => (address & 0xffff) | reserved
  const high = (address: number): number => (address >>> 16 & (reserved === 0 ? 0xf : 0xffff)) << 12
  return [low(ip), high(ip) | opcode, low(dp), high(dp)]
}

/** FNSTENV: writes 28 or 14 bytes, then masks all exceptions. */
export function fnstenv(x87: X87, view: DataView, at: number, layout: EnvironmentLayout): void {
  putEnvironment(x87, view, at, layout)
  x87.controlWord |= 0x3f
  x87.updateSummary()
}

/** FLDENV: reads 28 or 14 bytes. Exceptions that it leaves unmasked become pending. */
export function fldenv(x87: X87, view: DataView, at: number, layout: EnvironmentLayout): void {
  const step = is32(layout) ? 4 : 2
  const get = (index: number): number => (step === 4 ? view.getUint32(at + index * 4, true) : view.getUint16(at + index * 2, true))
  x87.controlWord = get(0) & 0xffff
  x87.statusWord = get(1) & 0xffff
  setFullTagWord(x87, get(2))
  x87.updateSummary()
  setPointerFields(x87, layout, [get(3), get(4), get(5), get(6)])
}

function setPointerFields(x87: X87, layout: EnvironmentLayout, fields: number[]): void {
  const { state } = x87
  const real = layout === 'real32' || layout === 'real16'
  const address = (low: number, high: number): number => ((low & 0xffff) | (high >>> 12 << 16)) >>> 0
  state.setSlotU64(Slot.FIP, BigInt(real ? address(fields[0], fields[1]) : fields[0]))
  state.setSlotU64(Slot.FDP, BigInt(real ? address(fields[2], fields[3]) : fields[2]))
  state.setSlotU16(Slot.FCS, real ? 0 : fields[1])
  state.setSlotU16(Slot.FDS, real ? 0 : fields[3])
  if (layout === 'protected32') state.setSlotU16(Slot.FOP, fields[1] >>> 16 & 0x7ff)
  else if (real) state.setSlotU16(Slot.FOP, fields[1] & 0x7ff)
}

/** FNSAVE: writes 108 or 94 bytes, the registers from ST0 on, then initialises as FNINIT. */
export function fnsave(x87: X87, view: DataView, at: number, layout: EnvironmentLayout): void {
  putEnvironment(x87, view, at, layout)
  const registers = at + environmentSize(layout)
  for (let i = 0; i < 8; i++) {
    const word = x87.at(i)
    view.setUint32(registers + i * 10, x87.words[word], true)
    view.setUint32(registers + i * 10 + 4, x87.words[word + 1], true)
    view.setUint16(registers + i * 10 + 8, x87.words[word + 2], true)
  }
  fninit(x87)
}

/** FRSTOR: reads 108 or 94 bytes. */
export function frstor(x87: X87, view: DataView, at: number, layout: EnvironmentLayout): void {
  fldenv(x87, view, at, layout)
  const registers = at + environmentSize(layout)
  for (let i = 0; i < 8; i++) {
    const word = x87.at(i)
    x87.words[word] = view.getUint32(registers + i * 10, true)
    x87.words[word + 1] = view.getUint32(registers + i * 10 + 4, true)
    x87.words[word + 2] = view.getUint16(registers + i * 10 + 8, true)
  }
}
