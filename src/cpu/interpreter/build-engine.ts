/** Puts the engine together: every form of the opcode table, the profile's choice of inline handlers, and the tables beside them. */
import '../semantics/index.ts'
import { unreachable } from '../../base/errors.ts'
import { buildEngine } from './engine-builder.ts'
import type { Engine, Form } from './engine-builder.ts'
import { FORMS_SECTION, HELPERS_SECTION, encodeHelpers, encodeTables, handlerPosition, rowBases } from './engine-image.ts'
import { enumerateForms, undefinedMnemonics } from './forms.ts'
import type { Profile } from './profile.ts'

export interface BuiltEngine {
  /** The engine file: WebAssembly with the tables in custom sections. */
  readonly bytes: Uint8Array
  readonly forms: number
  readonly inline: number
  readonly refused: readonly string[]
  readonly loopSize: number
}

export function buildEngineFile(profile: Profile): BuiltEngine & { readonly engine: Engine } {
  const missing = undefinedMnemonics()
  if (missing.length > 0) unreachable(`instructions without semantics: ${missing.join(', ')}`)
  return buildPartialEngine(profile)
}

/** The same without the check that every row has semantics. */
export function buildPartialEngine(profile: Profile, countsAt?: number): BuiltEngine & { readonly engine: Engine } {
  const enumerated = enumerateForms()
  const forms = new Map<string, Form>()
  for (const form of enumerated) if (!forms.has(form.key)) forms.set(form.key, form)
  const engine = buildEngine({ forms: [...forms.values()], inline: profile.inline, fused: profile.fused, countsAt })
  const bases = rowBases()
  const handlers = new Uint16Array(bases[bases.length - 1])
  for (const form of enumerated) {
    handlers[handlerPosition(bases, form.row, form.shape)] = engine.handlers.get(form.key) ?? unreachable(`no handler for ${form.key}`)
  }
  const fused = [...engine.fused].flatMap(([keys, pair]) => {
    const [first, second] = keys.split('+')
    return [engine.handlers.get(first) ?? 0, engine.handlers.get(second) ?? 0, pair]
  })
  engine.module.customSection(FORMS_SECTION, encodeTables({ handlers, fused: Uint16Array.from(fused) }))
  engine.module.customSection(HELPERS_SECTION, encodeHelpers(engine.helpers))
  return {
    bytes: engine.module.encode(), forms: forms.size, inline: profile.inline.length, refused: engine.refused,
    loopSize: engine.loopSize, engine,
  }
}
