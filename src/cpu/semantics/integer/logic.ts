/** Boolean operations, bit tests and scans (SDM Vol. 2). */
import { define } from '../define.ts'
import { ValueType, W } from '../../wasm/opcodes.ts'
import type { OperandSize } from '../../decode/instruction.ts'
import type { Ops, Place, Value } from '../ops.ts'

define('AND', 'rw,r', (o) => o.wr(0, stageLogic(o, o.and(o.rd(0), o.rd(1)))))
define('OR', 'rw,r', (o) => o.wr(0, stageLogic(o, o.or(o.rd(0), o.rd(1)))))
define('XOR', 'rw,r', (o) => o.wr(0, stageLogic(o, o.xor(o.rd(0), o.rd(1)))))
define('TEST', 'r,r', (o) => { stageLogic(o, o.and(o.rd(0), o.rd(1))) })

/** CF and OF clear, the rest by the result: the flags of subtracting nothing. */
function stageLogic(o: Ops, value: Value): Value {
  const result = o.let(value)
  o.flags('SUB', o.size, result, o.k(0, result.type))
  return result
}

define('NOT', 'rw', (o) => { o.wr(0, o.not(o.rd(0))) })

define('BT', 'r,r', (o) => bitTest(o, (value) => value, false))
define('BTS', 'rw,r', (o) => bitTest(o, (value, mask) => o.or(value, mask), true))
define('BTR', 'rw,r', (o) => bitTest(o, (value, mask) => o.and(value, o.not(mask)), true))
define('BTC', 'rw,r', (o) => bitTest(o, (value, mask) => o.xor(value, mask), true))

/** Only CF changes. With a register for the bit number, a memory operand is a bit string that reaches both ways. */
function bitTest(o: Ops, change: (value: Value, mask: Value) => Value, writes: boolean): void {
  const place = o.isMemory(0) && o.operands[1].method === 'G' ? bitStringPlace(o, writes) : undefined
  const value = o.let(place === undefined ? o.rd(0) : o.ldPlace(place))
  const bit = o.let(o.and(o.fit(o.rd(1), value.type), o.k(o.size - 1, value.type)))
  o.flagsCO(o.wrap(o.and(o.shr(value, bit), o.k(1, value.type))), o.let(o.cond('o')))
  if (!writes) return
  const changed = change(value, o.shl(o.k(1, value.type), bit))
  if (place === undefined) o.wr(0, changed)
  else o.stPlace(place, changed)
}

function bitStringPlace(o: Ops, writes: boolean): Place {
  const number = o.to64(o.rd(1), o.size, true)
  const element = o.sar(number, o.i64(Math.log2(o.size)))
  const offset = o.wrapAddress(o.add(o.offset(0), o.shl(element, o.i64(Math.log2(o.size / 8)))))
  const access = writes ? 'write' : 'read'
  return o.place(o.segmentedData(o.let(offset), o.size, access), o.size, access)
}

define('BSF', 'rw,r', (o) => scan(o, (value) => o.op(value.type === ValueType.I64 ? W.i64_ctz : W.i32_ctz, value.type, value)))
define('BSR', 'rw,r', (o) => scan(o, (value) => {
  const wide = value.type === ValueType.I64
  return o.sub(o.k(wide ? 63 : 31, value.type), o.op(wide ? W.i64_clz : W.i32_clz, value.type, value))
}))

/** A zero source leaves the destination alone, all 64 bits of it. */
function scan(o: Ops, count: (value: Value) => Value): void {
  const source = o.let(o.rd(1))
  o.flags('SUB', o.size, source, o.k(0, source.type))
  const old = o.rd(0, 64)
  const found = o.size === 16 ? o.or(o.and(old, o.i64(-65536n)), o.extend(count(source), false)) : o.extend(count(source), false)
  o.wr(0, o.select(o.eqz(source), old, found), 64)
}

define('POPCNT', 'w,r', (o) => {
  const source = o.let(o.rd(1))
  o.setArithmeticFlags(o.shl(o.eqz(source), o.i32(6)))
  o.wr(0, o.op(source.type === ValueType.I64 ? W.i64_popcnt : W.i32_popcnt, source.type, source))
})

define('CRC32', 'rw,r', (o) => {
  const bits = o.operandSize(1) as OperandSize
  const crc = o.helper('crc32', [o.rd(0, 32), o.extend(o.rd(1), false), o.i32(bits)], { result: ValueType.I32 })
  o.wr(0, o.extend(o.let(crc), false), 64)
})
