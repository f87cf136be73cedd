/** Near branches, calls and loops (SDM Vol. 2). Far transfers and interrupts are in ../system.ts. */
import { define } from '../define.ts'
import { Gpr } from '../../state/layout.ts'
import { carrier } from '../ops.ts'
import type { Ops, Value } from '../ops.ts'
import { moveStack, push, top } from './stack.ts'

define('JMP', '-', (o) => { o.jump(0) })
define('Jcc', '-', (o) => { o.jumpIf(o.cond(o.condition), 0) })
define('JMP_INDIRECT', 'r', (o) => { o.jumpTo(o.extend(o.let(o.rd(0)), false)) })

define('CALL', '-', (o) => {
  push(o, o.size, o.fit(o.nextIp(), carrier(o.size)))
  o.jump(0)
})
define('CALL_INDIRECT', 'r', (o) => {
  const target = o.let(o.rd(0))
  push(o, o.size, o.fit(o.nextIp(), target.type))
  o.jumpTo(o.extend(target, false))
})
define('RET', '-', (o) => {
  const target = top(o, o.size)
  const released = o.operands.length > 0 ? o.extend(o.rd(0), false) : o.i64(0)
  moveStack(o, o.add(o.i64(o.size / 8), released))
  o.jumpTo(o.extend(target, false))
})

define('LOOP', '-', (o) => loop(o, (more) => more))
define('LOOPE', '-', (o) => loop(o, (more) => o.and(more, o.let(o.cond('e')))))
define('LOOPNE', '-', (o) => loop(o, (more) => o.and(more, o.let(o.cond('ne')))))

/** Counts rCX down, by the address size, without changing flags. */
function loop(o: Ops, condition: (more: Value) => Value): void {
  const count = o.let(o.wrapAddress(o.sub(o.addressReg(Gpr.RCX), o.i64(1))))
  o.setAddressReg(Gpr.RCX, count)
  o.jumpIf(condition(o.ne(count, o.i64(0))), 0)
}

define('JCXZ', '-', (o) => { o.jumpIf(o.eqz(o.addressReg(Gpr.RCX)), 0) })
