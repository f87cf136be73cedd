/**
 * The x87 instructions (SDM Vol. 2, mnemonics in F). The work is done by helpers, see x87/helpers.ts; here operands in memory are read
 * before and written after. Which encoding a form has is looked up in the opcode table by its operands; aliases have the same effect.
 */
import { rowOperands } from '../../isa/operands.ts'
import type { OperandSpec } from '../../isa/operands.ts'
import type { Row } from '../../isa/row.ts'
import { x87Rows } from '../../isa/x87.ts'
import { ValueType, W } from '../../wasm/opcodes.ts'
import { unreachable } from '../../../base/errors.ts'
import { define } from '../define.ts'
import type { Access } from '../define.ts'
import type { Condition, Ops, Place, Value } from '../ops.ts'
import { checkMathFault } from '../vector/operands.ts'

const { I32, V128 } = ValueType

/** Instructions with a memory operand that is written. */
const STORES = new Set(['FST', 'FSTP', 'FIST', 'FISTP', 'FISTTP', 'FBSTP'])
/** Comparisons that set ZF, PF and CF, and clear the other flags. */
const TO_FLAGS = new Set(['FCOMI', 'FCOMIP', 'FUCOMI', 'FUCOMIP'])
const MOVES: Readonly<Record<string, Condition>> = {
  FCMOVB: 'b', FCMOVE: 'e', FCMOVBE: 'be', FCMOVU: 'p', FCMOVNB: 'ae', FCMOVNE: 'ne', FCMOVNBE: 'a', FCMOVNU: 'np',
}
/** Defined one by one below. */
const APART = new Set(['FNSTCW', 'FNSTSW', 'FNSTENV', 'FNSAVE', 'FLDENV', 'FRSTOR'])

const signature = (mnemonic: string, operands: readonly OperandSpec[]): string =>
  `${mnemonic} ${operands.map(({ method, type, register }) => `${method}.${type}.${register ?? ''}`).join()}`

/** The first byte less D8, times 256, plus ModRM without what an operand puts there. */
function opcodeOf(row: Row): number {
  const match = /^D([89A-F]) \/(\d)(?: (mem|reg))?(?: rm=(\d))?$/.exec(row.opcode) ?? unreachable(`x87 opcode ${row.opcode}`)
  const [, low, reg, form, rm] = match
  return (parseInt(low, 16) - 8) << 8 | (form === 'reg' ? 0xc0 : 0) | Number(reg) << 3 | Number(rm ?? 0)
}

const opcodes = new Map<string, number>()
for (const row of x87Rows) {
  const key = signature(row.mnemonic, rowOperands(row))
  if (!opcodes.has(key)) opcodes.set(key, opcodeOf(row))
}

/** All rows of a mnemonic that have a memory operand have it at the same position. */
function accessOf(mnemonic: string): string {
  const lists = x87Rows.filter((row) => row.mnemonic === mnemonic).map(rowOperands)
  const operands = lists.find((list) => list.some(({ method }) => method === 'M')) ?? lists[0]
  const memory: Access = STORES.has(mnemonic) ? 'w' : 'r'
  return operands.map(({ method }) => (method === 'M' ? memory : '-')).join()
}

for (const mnemonic of new Set(x87Rows.map((row) => row.mnemonic))) {
  if (!APART.has(mnemonic)) define(mnemonic, accessOf(mnemonic), (o) => execute(o, mnemonic))
}

function execute(o: Ops, mnemonic: string): void {
  const opcode = opcodes.get(signature(mnemonic, o.operands)) ?? unreachable(`operands of ${mnemonic}`)
  const memory = o.operands.findIndex(({ method }) => method === 'M')
  if (memory < 0) return register(o, mnemonic, opcode)
  // Before anything that the operand's address may raise.
  checkMathFault(o)
  if (STORES.has(mnemonic)) store(o, memory, opcode)
  else load(o, memory, opcode)
}

function register(o: Ops, mnemonic: string, opcode: number): void {
  const variable = o.operands.findIndex(({ method, register }) => method === 'ST' && register === undefined)
  const complete = variable < 0 ? o.i32(opcode) : o.or(o.i32(opcode), o.registerNumber(variable))
  const condition = MOVES[mnemonic] === undefined ? o.i32(0) : o.let(o.cond(MOVES[mnemonic]))
  const flags = o.helper('x87Register', [complete, condition], { result: I32 })
  if (TO_FLAGS.has(mnemonic)) o.setArithmeticFlags(flags)
}

function load(o: Ops, n: number, opcode: number): void {
  o.helper('x87Memory', [operand(o, n), o.i32(opcode), o.let(o.offset(n))])
}

/** The operand in memory, in the low bytes of an argument. */
function operand(o: Ops, n: number): Value {
  const bits = o.operandSize(n) as number
  if (bits !== 80) return o.rd(n)
  const [low, high] = extendedAddresses(o, n)
  const significand = o.ld(low, 64)
  return o.lane(W.i64x2_replace_lane, 1, V128, o.vectorOf64(significand), o.extend(o.ld(high, 16), false))
}

function extendedAddresses(o: Ops, n: number): [Value, Value] {
  const low = o.let(o.linear(n))
  const high = o.add(low, o.i64(8))
  return [low, o.mode === 64 ? high : o.zx(high, 32)]
}

/** Destinations are translated first, so that nothing can fault once the helper has run. */
function store(o: Ops, n: number, opcode: number): void {
  const bits = o.operandSize(n) as number
  const places = bits === 80 ? extendedPlaces(o, n) : undefined
  if (places === undefined) o.touch(n)
  const result = o.helper('x87Memory', [o.i32(0), o.i32(opcode), o.let(o.offset(n))], { result: V128 })
  o.skipIf(o.eqz(o.lane(W.i32x4_extract_lane, 3, I32, result)))
  if (places === undefined) return o.wr(n, bits === 64 ? o.low64(result) : o.low32(result))
  o.stPlace(places[0], o.low64(result))
  o.stPlace(places[1], o.lane(W.i32x4_extract_lane, 2, I32, result))
}

function extendedPlaces(o: Ops, n: number): [Place, Place] {
  const [low, high] = extendedAddresses(o, n)
  return [o.place(low, 64, 'write'), o.place(high, 16, 'write')]
}

define('FNSTCW', 'w', (o) => { o.wr(0, o.field('FCW')) })
define('FNSTSW', 'w', (o) => { o.wr(0, o.field('FSW')) })

/** Images of the environment or state: a helper reads or writes them. */
for (const mnemonic of ['FNSTENV', 'FNSAVE', 'FLDENV', 'FRSTOR']) {
  define(mnemonic, mnemonic.startsWith('FN') ? 'w' : 'r', (o) => {
    const address = o.let(o.linear(0))
    // Outside 64-bit mode the whole operand must be within the segment's limit.
    if (o.mode !== 64) {
      const last = o.wrapAddress(o.add(o.offset(0), o.i64((o.operandSize(0) as number) / 8 - 1)))
      o.let(o.segmentedData(o.let(last), 8, mnemonic.startsWith('FN') ? 'write' : 'read'))
    }
    o.helper(mnemonic, [address, o.i32(o.size)])
  })
}

/** FWAIT: a pending exception is raised now. */
define('FWAIT', '', (o) => checkMathFault(o))
