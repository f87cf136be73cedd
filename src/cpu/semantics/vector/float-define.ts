/**
 * One definition for SSE and AVX. SSE's first source is its destination; AVX has `V` before the mnemonic, a destination of its own,
 * and 128 or 256 bits. A scalar of AVX takes the rest of its 128 bits from its first source, even if it has nothing to do with it.
 */
import { define } from '../define.ts'
import { FloatLanes } from './float-lanes.ts'
import type { FloatSuffix, Parts } from './float-lanes.ts'

/** `immediate` is the position of the operand after the sources. */
type Binary = (f: FloatLanes, a: Parts, b: Parts, immediate: number) => Parts
type Unary = (f: FloatLanes, source: Parts, immediate: number) => Parts

/** The names of the same instruction in SSE and AVX. */
export const vexName = (mnemonic: string): string => `V${mnemonic.replace('_XMM', '')}`

/** `more` is the access of the operands after the sources: `,r` for an immediate. */
export function defineBinary(mnemonic: string, suffix: FloatSuffix, emit: Binary, more = ''): void {
  define(mnemonic, `rw,r${more}`, (o) => {
    const f = new FloatLanes(o, suffix)
    const b = f.parts(1)
    f.write(emit(f, f.parts(0), b, 2))
  })
  define(vexName(mnemonic), `w,r,r${more}`, (o) => {
    const f = new FloatLanes(o, suffix, true)
    const b = f.parts(2)
    f.write(emit(f, f.parts(1), b, 3))
  })
}

/** `from` has the lanes of the source, where they are not those of the result. */
export function defineUnary(mnemonic: string, suffix: FloatSuffix, emit: Unary, more = '', from = suffix): void {
  define(mnemonic, `w,r${more}`, (o) => {
    const f = new FloatLanes(o, suffix)
    f.write(emit(f, new FloatLanes(o, from).parts(1), 2))
  })
  const scalar = suffix.startsWith('S')
  define(vexName(mnemonic), scalar ? `w,r,r${more}` : `w,r${more}`, (o) => {
    const f = new FloatLanes(o, suffix, true)
    const source = scalar ? 2 : 1
    f.write(emit(f, new FloatLanes(o, from).parts(source), source + 1))
  })
}
