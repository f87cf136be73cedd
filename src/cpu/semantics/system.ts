/**
 * System instructions (SDM Vol. 2, Vol. 3A). They are rare or large, so nearly all of them call a helper of ../system; the names
 * are those of its registry. A helper that sets the instruction pointer gets the next instruction's, and stages nothing beside it.
 */
import { Gpr, Segment } from '../state/layout.ts'
import { Flag } from '../state/flags.ts'
import type { SystemHelperName } from '../system/helpers.ts'
import { ValueType } from '../wasm/opcodes.ts'
import type { ValueTypeCode } from '../wasm/opcodes.ts'
import { define } from './define.ts'
import { advance, destination, repeatCount, source, stageRepeat, stride } from './integer/string.ts'
import { push, top } from './integer/stack.ts'
import { carrier } from './ops.ts'
import type { Ops, Size, Value } from './ops.ts'

const { I32, I64 } = ValueType
const { RSP, RDX, RSI, RDI } = Gpr
const INVALID_OPCODE = 6

/** A helper that answers with a value. */
function ask(o: Ops, name: SystemHelperName, args: readonly Value[], result: ValueTypeCode = I32): Value {
  return o.helper(name, args, { result })
}

/** A helper that may go elsewhere, or change what the engine depends on. */
function control(o: Ops, name: SystemHelperName, ...args: Value[]): void { o.helper(name, args, { controls: true }) }
function call(o: Ops, name: SystemHelperName, ...args: Value[]): void { o.helper(name, args) }

const operandSize = (o: Ops): Value => o.i32(o.size)
const zeroExtended = (o: Ops, n: number, size?: Size): Value => o.extend(o.let(o.rd(n, size)), false)

/** Defines instructions that are one helper without operands; those that control get the next instruction's pointer. */
function simple(names: Readonly<Record<string, SystemHelperName>>): void {
  for (const [mnemonic, name] of Object.entries(names)) define(mnemonic, '', (o) => call(o, name))
}
function controlling(names: Readonly<Record<string, SystemHelperName>>): void {
  for (const [mnemonic, name] of Object.entries(names)) define(mnemonic, '', (o) => control(o, name, o.nextIp()))
}

simple({
  CLI: 'clearInterruptFlag', CPUID: 'identify', RDTSC: 'readTimeStamp',
  RDTSCP: 'readTimeStampAndProcessor', RDMSR: 'readModelSpecific', RDPMC: 'readPerformanceCounter', INVD: 'flushCaches',
  WBINVD: 'flushCaches', SWAPGS: 'swapGs', VMCALL: 'hypercall', VMMCALL: 'hypercall', XGETBV: 'readExtendedControl',
})
controlling({
  HLT: 'halt', CLTS: 'clearTaskSwitched', WRMSR: 'writeModelSpecific', XSETBV: 'writeExtendedControl', SYSCALL: 'systemCall',
  SYSENTER: 'systemEnter', INT3: 'breakpointInterrupt', INTO: 'overflowInterrupt', INT1: 'debugInterrupt',
})

/** Instructions that raise #UD: by definition, or because their feature is not there. */
for (const mnemonic of ['UD0', 'UD1', 'INVPCID']) define(mnemonic, '-,-', invalid)
for (const mnemonic of ['UD2', 'MONITOR', 'MWAIT']) define(mnemonic, '', invalid)

function invalid(o: Ops): void { o.raiseIf(o.i32(1), INVALID_OPCODE) }

// Flags.

define('PUSHF', '', (o) => {
  // Outside 64-bit mode virtual-8086 programs may not see all of them.
  const image = o.mode === 64
    ? o.or(o.arithmeticFlags(), o.and(o.field('SYSTEM_FLAGS'), o.i32(~Flag.RF)))
    : ask(o, 'pushFlags', [operandSize(o)])
  push(o, o.size, o.fit(o.let(image), carrier(o.size)))
})
define('POPF', '', (o) => {
  const image = o.let(o.extend(top(o, o.size), false))
  stageStack(o, o.size / 8)
  call(o, 'popFlags', operandSize(o), image, o.nextIp())
})
define('STI', '', (o) => call(o, 'setInterruptFlag', o.nextIp()))
define('CLAC', '', (o) => call(o, 'setAlignmentCheck', o.i32(0), o.nextIp()))
define('STAC', '', (o) => call(o, 'setAlignmentCheck', o.i32(1), o.nextIp()))

/** Moves the stack pointer by the width that the stack has now, whatever a helper makes of SS. */
function stageStack(o: Ops, by: number): void {
  const moved = o.add(o.reg(RSP, 64), o.i64(by))
  if (o.mode === 64) {
    o.setReg(RSP, 64, moved)
    return
  }
  const mask = o.let(o.field('STACK_MASK'))
  o.setReg(RSP, 64, o.let(o.or(o.and(o.reg(RSP, 64), o.not(mask)), o.and(moved, mask))))
}

// Segment registers and far transfers.

define('PUSH_SREG', '-', (o) => push(o, o.size, o.fit(ask(o, 'moveFromSegment', [o.registerNumber(0)]), carrier(o.size))))
define('POP_SREG', '-', (o) => {
  const selector = o.let(o.wrap(top(o, o.size)))
  stageStack(o, o.size / 8)
  call(o, 'moveToSegment', o.registerNumber(0), selector, o.nextIp())
})
define('MOV_FROM_SREG', 'w,-', (o) => {
  o.wr(0, o.fit(ask(o, 'moveFromSegment', [o.registerNumber(1)]), carrier(o.operandSize(0))))
})
define('MOV_TO_SREG', '-,r', (o) => call(o, 'moveToSegment', o.registerNumber(0), o.rd(1), o.nextIp()))

interface FarPointer { readonly selector: Value; readonly offset: Value }

/** A far pointer in memory: the offset, and the selector behind it. */
function loadPointer(o: Ops, n: number): FarPointer {
  const at = o.let(o.offset(n))
  const offset = o.let(o.extend(o.ld(o.segmentedData(at, o.size, 'read'), o.size), false))
  const behind = o.let(o.wrapAddress(o.add(at, o.i64(o.size / 8))))
  return { offset, selector: o.let(o.ld(o.segmentedData(behind, 16, 'read'), 16)) }
}

function farTarget(o: Ops): FarPointer {
  return o.isMemory(0) ? loadPointer(o, 0) : { selector: o.immediate2(), offset: zeroExtended(o, 0, 32) }
}

for (const [mnemonic, segment] of [['LES', 'ES'], ['LDS', 'DS'], ['LSS', 'SS'], ['LFS', 'FS'], ['LGS', 'GS']] as const) {
  define(mnemonic, 'w,a', (o) => {
    const { offset, selector } = loadPointer(o, 1)
    call(o, 'loadFarPointer', o.i32(Segment[segment]), selector)
    o.wr(0, o.fit(offset, carrier(o.size)))
  })
}
for (const [mnemonic, name] of [['JMP_FAR', 'jumpFar'], ['CALL_FAR', 'callFar']] as const) {
  define(mnemonic, 'a', (o) => {
    const { selector, offset } = farTarget(o)
    control(o, name, selector, offset, operandSize(o), o.nextIp())
  })
}
define('RET_FAR', '-', (o) => control(o, 'returnFar', operandSize(o), o.operands.length > 0 ? o.rd(0) : o.i32(0)))
define('IRET', '', (o) => control(o, 'returnFromInterrupt', operandSize(o), o.nextIp()))
define('INT', '-', (o) => control(o, 'softwareInterrupt', o.rd(0), o.nextIp()))
define('SYSRET', '', (o) => control(o, 'systemReturn', operandSize(o)))
define('SYSEXIT', '', (o) => control(o, 'systemExit', operandSize(o)))
define('ENTER', '-,-', (o) => call(o, 'enterFrame', operandSize(o), o.rd(0), o.immediate2()))

// Ports.

define('IN', 'w,r', (o) => {
  const size = o.operandSize(0)
  o.wr(0, ask(o, 'readPort', [o.rd(1), o.i32(size)]))
})
define('OUT', 'r,r', (o) => call(o, 'writePort', o.rd(0), o.i32(o.operandSize(1)), o.rd(1)))

define('INS', '-,-', (o) => {
  const count = o.repeat === 0 ? undefined : repeatCount(o)
  const step = stride(o)
  const port = o.let(o.reg(RDX, 16))
  call(o, 'checkPort', port, operandSize(o))
  const place = o.place(destination(o, 'write'), o.size, 'write')
  o.stPlace(place, ask(o, 'readPort', [port, operandSize(o)]))
  advance(o, RDI, step)
  if (count !== undefined) stageRepeat(o, count, o.i64(1))
})
define('OUTS', '-,-', (o) => {
  const count = o.repeat === 0 ? undefined : repeatCount(o)
  const step = stride(o)
  const port = o.let(o.reg(RDX, 16))
  call(o, 'checkPort', port, operandSize(o))
  const value = o.let(o.ld(source(o), o.size))
  call(o, 'writePort', port, operandSize(o), value)
  advance(o, RSI, step)
  if (count !== undefined) stageRepeat(o, count, o.i64(1))
})

// Descriptor tables.

for (const [mnemonic, name] of [['SGDT', 'storeGdt'], ['SIDT', 'storeIdt']] as const) {
  define(mnemonic, 'w', (o) => call(o, name, o.linear(0)))
}
for (const [mnemonic, name] of [['LGDT', 'loadGdt'], ['LIDT', 'loadIdt']] as const) {
  define(mnemonic, 'a', (o) => call(o, name, o.linear(0), operandSize(o)))
}
for (const [mnemonic, name] of [['SLDT', 'storeLdt'], ['STR', 'storeTaskRegister']] as const) {
  define(mnemonic, 'w', (o) => o.wr(0, o.fit(ask(o, name, []), carrier(o.operandSize(0)))))
}
for (const [mnemonic, name] of [['VERR', 'verifyRead'], ['VERW', 'verifyWrite']] as const) {
  define(mnemonic, 'r', (o) => call(o, name, o.rd(0)))
}
for (const [mnemonic, name] of [['LLDT', 'loadLdt'], ['LTR', 'loadTaskRegister']] as const) {
  define(mnemonic, 'r', (o) => {
    // Privilege comes before anything that the operand's address may raise.
    call(o, 'requirePrivilege')
    call(o, name, o.rd(0))
  })
}
for (const [mnemonic, name] of [['LAR', 'loadAccessRights'], ['LSL', 'loadSegmentLimit']] as const) {
  // The helper answers with the whole register, because where it clears ZF all 64 bits stay.
  define(mnemonic, 'rw,r', (o) => {
    const selector = o.let(o.rd(1, 16))
    o.wr(0, ask(o, name, [selector, o.rd(0, 64), operandSize(o)], I64), 64)
  })
}
define('ARPL', 'rw,r', (o) => {
  const target = o.let(o.rd(0))
  const wanted = o.let(o.and(o.rd(1), o.i32(3)))
  const lower = o.let(o.compare('lt_u', o.and(target, o.i32(3)), wanted))
  const flags = o.let(o.and(o.arithmeticFlags(), o.i32(~Flag.ZF)))
  o.wr(0, o.select(lower, o.or(o.and(target, o.i32(~3)), wanted), target))
  o.setArithmeticFlags(o.or(flags, o.shl(lower, o.i32(6))))
})

// Control.

define('SMSW', 'w', (o) => o.wr(0, o.fit(ask(o, 'storeMachineStatus', [], I64), carrier(o.operandSize(0)))))
define('LMSW', 'r', (o) => {
  call(o, 'requirePrivilege')
  control(o, 'loadMachineStatus', o.rd(0), o.nextIp())
})
define('INVLPG', 'a', (o) => control(o, 'invalidatePage', o.linear(0), o.nextIp()))
for (const [mnemonic, name] of [['MOV_FROM_CR', 'readControl'], ['MOV_FROM_DR', 'readDebug']] as const) {
  define(mnemonic, 'w,-', (o) => o.wr(0, o.fit(ask(o, name, [o.registerNumber(1)], I64), carrier(o.operandSize(0)))))
}
for (const [mnemonic, name] of [['MOV_TO_CR', 'writeControl'], ['MOV_TO_DR', 'writeDebug']] as const) {
  define(mnemonic, '-,r', (o) => control(o, name, o.registerNumber(0), zeroExtended(o, 1), o.nextIp()))
}
for (const [mnemonic, segment] of [['RDFSBASE', Segment.FS], ['RDGSBASE', Segment.GS]] as const) {
  define(mnemonic, 'w', (o) => o.wr(0, o.fit(ask(o, 'readSegmentBase', [o.i32(segment)], I64), carrier(o.operandSize(0)))))
}
for (const [mnemonic, segment] of [['WRFSBASE', Segment.FS], ['WRGSBASE', Segment.GS]] as const) {
  define(mnemonic, 'r', (o) => call(o, 'writeSegmentBase', o.i32(segment), zeroExtended(o, 0)))
}
for (const mnemonic of ['RDRAND', 'RDSEED']) {
  define(mnemonic, 'w', (o) => o.wr(0, o.fit(ask(o, 'readRandom', [operandSize(o)], I64), carrier(o.operandSize(0)))))
}
define('RDPID', 'w', (o) => o.wr(0, o.fit(ask(o, 'readProcessorId', [], I64), carrier(o.operandSize(0)))))

// State areas and caches.

for (const [mnemonic, name, access, bytes] of [
  ['FXSAVE', 'saveFast', 'w', 512], ['FXRSTOR', 'restoreFast', 'r', 512], ['XSAVE', 'saveExtended', 'w', 576],
  ['XSAVEOPT', 'saveExtended', 'w', 576], ['XRSTOR', 'restoreExtended', 'r', 576],
] as const) {
  define(mnemonic, access, (o) => {
    const address = o.let(o.linear(0))
    // Outside 64-bit mode the whole area must be within the segment's limit.
    if (o.mode !== 64) {
      const last = o.wrapAddress(o.add(o.offset(0), o.i64(bytes - 1)))
      o.let(o.segmentedData(o.let(last), 8, access === 'w' ? 'write' : 'read'))
    }
    call(o, name, address, operandSize(o))
  })
}
const MXCSR_RESERVED = ~0xffff
const GENERAL_PROTECTION = 13

for (const v of ['', 'V']) {
  define(`${v}LDMXCSR`, 'r', (o) => {
    const value = o.let(o.rd(0))
    o.raiseIf(o.ne(o.and(value, o.i32(MXCSR_RESERVED)), o.i32(0)), GENERAL_PROTECTION, 0)
    o.setField('MXCSR', value)
  })
  define(`${v}STMXCSR`, 'w', (o) => o.wr(0, o.field('MXCSR')))
}

/** Nothing to flush, but the address must be readable. */
for (const mnemonic of ['CLFLUSH', 'CLFLUSHOPT', 'CLWB']) {
  define(mnemonic, 'a', (o) => { o.place(o.linear(0), 8, 'read') })
}
