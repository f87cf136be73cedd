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
