import { expect, test } from 'vitest'
import { buildEngine } from '../interpreter/engine-builder.ts'
import { enumerateForms, unusedDefinitions } from '../interpreter/forms.ts'
import { definedMnemonics, definitionOf } from './define.ts'
import './index.ts'

const forms = [...new Map(enumerateForms().map((form) => [form.key, form])).values()]

/** Builds and validates; where it is refused, names the forms that are to blame. */
function refused(inline: readonly string[]): string[] {
  const build = (some: typeof forms): boolean => {
    const { module } = buildEngine({ forms: some, inline: inline.filter((key) => some.some((form) => form.key === key)), fused: [] })
    return WebAssembly.validate(module.encode())
  }
  const search = (some: typeof forms): string[] => {
    if (build(some)) return []
    if (some.length === 1) return [some[0].key]
    const middle = some.length >> 1
    return [...search(some.slice(0, middle)), ...search(some.slice(middle))]
  }
  return search(forms)
}

test('every form is valid WebAssembly', () => {
  expect(refused([])).toEqual([])
})

test('forms of vector instructions that need no helper in the common case can be inline', () => {
  const wanted = forms.filter(({ sample, shape }) =>
    !shape.legacy && /^(MOVAPS|PADDB|PSHUFD|PSHUFB|PSLLDQ|ADDSD|MULPS|CVTTSD2SI|COMISD|ROUNDSD|PTEST)$/.test(sample.row.mnemonic))
  const keys = wanted.map((form) => form.key)
  const { module, refused } = buildEngine({ forms, inline: keys, fused: [] })
  expect(refused).toEqual([])
  expect(WebAssembly.validate(module.encode())).toBe(true)
})

test('a branch on a floating-point comparison runs as one with it', () => {
  const pair: [string, string] = ['COMISD.32.x64,xm64', 'Jcc.64.rel.cc7']
  const { module, refused, fused } = buildEngine({ forms, inline: pair, fused: [pair] })
  expect(refused).toEqual([])
  expect(fused.size).toBe(1)
  expect(WebAssembly.validate(module.encode())).toBe(true)
})

test('forms with a loop of their own stay out of the run loop', () => {
  const loops = forms.filter(({ sample, shape }) => /^PCMP[EI]STR[IM]$/.test(sample.row.mnemonic) && !shape.legacy).map((form) => form.key)
  expect(loops.length).toBeGreaterThan(0)
  expect(buildEngine({ forms, inline: loops, fused: [] }).refused).toEqual(loops)
})

test('every definition belongs to a row', () => {
  expect(unusedDefinitions(definedMnemonics().map((mnemonic) => definitionOf(mnemonic)!))).toEqual([])
})
