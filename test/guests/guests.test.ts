import { describe, expect, it } from 'vitest'
import { PROFILE } from '../../src/cpu/interpreter/profile-data.ts'
import { EMPTY_PROFILE } from '../../src/cpu/interpreter/profile.ts'
import { allGuests } from './all.ts'
import { judge } from './outcome.ts'
import { engineModule, runInTenon } from './tenon.ts'

describe.each([
  ['every form outlined', EMPTY_PROFILE, false], ['with inline handlers', PROFILE, false], ['translated', PROFILE, true],
] as const)('guests on an engine, %s', (_, profile, translates) => {
  const engine = engineModule(profile)
  it.each(allGuests().map((guest) => [guest.name, guest] as const))('%s', (__, guest) => {
    expect(judge(guest, runInTenon(guest, engine, translates))).toEqual([])
  })
})
