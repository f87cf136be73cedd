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

/** Every form that needs no call is in the run loop: far more than would be fast. */
export const inlineEngine = (): WebAssembly.Module => compile({ inline: formKeys(), fused: [] })

const SETS_FLAGS = /^(CMP|TEST|SUB|ADD|AND|OR|XOR|INC|DEC|NEG|SHL|SHR|SAR|ADC|BT|IMUL2)\./
const PAIRS_EACH = 8

/** All of `inlineEngine`, and pairs of an instruction that sets flags and a conditional branch, a few of them for each first. */
export function fusedEngine(below: (limit: number) => number): WebAssembly.Module {
  const inline = formKeys()
  const branches = inline.filter((key) => key.startsWith('Jcc.'))
  const fused = inline.filter((key) => SETS_FLAGS.test(key)).flatMap((first) => {
    const near = branches.filter((key) => key.includes('legacy') === first.includes('legacy'))
    return Array.from({ length: PAIRS_EACH }, (): [string, string] => [first, near[below(near.length)]])
  })
  return compile({ inline, fused: [...new Map(fused.map((pair) => [pair.join('+'), pair])).values()] })
}
