/** Builds of the interpreter's engine that run every form in one of the ways that a profile can choose. */
import { buildPartialEngine } from '../../../src/cpu/interpreter/build-engine.ts'
import { enumerateForms } from '../../../src/cpu/interpreter/forms.ts'
import type { Profile } from '../../../src/cpu/interpreter/profile.ts'

export function compile(profile: Profile): WebAssembly.Module {
  return new WebAssembly.Module(buildPartialEngine(profile).bytes as Uint8Array<ArrayBuffer>)
}

/** The keys of all forms. */
export function formKeys(): string[] { return [...new Set(enumerateForms().map((form) => form.key))] }

/** No handler in the run loop: every instruction is a call. */
export const outlinedEngine = (): WebAssembly.Module => compile({ inline: [], fused: [] })

/** Forms of VEX encodings. All forms together make a run loop on which V8 runs out of memory. */
const isVex = (key: string): boolean => key.startsWith('V')

/** V8 13 (Node 24) runs out of memory when it optimises a run loop with thousands of handlers: there it gets one form in sixteen. */
const IS_V8_13 = Number.parseInt(process.versions.v8, 10) >= 13
const fits = (_key: string, position: number): boolean => !IS_V8_13 || position % 16 === 0

/** Every form that needs no call is in the run loop, far more than would be fast; those of VEX encodings are in one of their own. */
export const inlineEngine = (): WebAssembly.Module => compile({ inline: formKeys().filter((key) => !isVex(key)).filter(fits), fused: [] })
export const inlineVexEngine = (): WebAssembly.Module => compile({ inline: formKeys().filter(isVex).filter(fits), fused: [] })

/** Not on V8 13, where `fusedEngine` is too large as well. The engine that is shipped is far smaller. */
export const FUSED_ENGINE_FITS = !IS_V8_13

const SETS_FLAGS = /^(CMP|TEST|SUB|ADD|AND|OR|XOR|INC|DEC|NEG|SHL|SHR|SAR|ADC|BT|IMUL2)\./
const PAIRS_EACH = 8

/** All forms, and pairs of an instruction that sets flags and a conditional branch, a few of them for each first. */
export function fusedEngine(below: (limit: number) => number): WebAssembly.Module {
  const inline = formKeys()
  const branches = inline.filter((key) => key.startsWith('Jcc.'))
  const fused = inline.filter((key) => SETS_FLAGS.test(key)).flatMap((first) => {
    const near = branches.filter((key) => key.includes('legacy') === first.includes('legacy'))
    return Array.from({ length: PAIRS_EACH }, (): [string, string] => [first, near[below(near.length)]])
  })
  return compile({ inline, fused: [...new Map(fused.map((pair) => [pair.join('+'), pair])).values()] })
}
