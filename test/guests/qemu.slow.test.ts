import { describe, expect, it } from 'vitest'
import { PROFILE } from '../../src/cpu/interpreter/profile-data.ts'
import { allGuests } from './all.ts'
import { ignoredFields } from './deviations.ts'
import { compareRuns } from './outcome.ts'
import { hasQemu, runInQemu } from './qemu.ts'
import { engineModule, runInTenon } from './tenon.ts'

const installed = hasQemu()
if (!installed) console.log('guests against QEMU: skipped, qemu-system-x86_64 is not installed')

describe.skipIf(!installed)('guests do in Tenon what they do in QEMU, but for its known deviations', () => {
  const engine = installed ? engineModule(PROFILE) : undefined
  it.each(
    allGuests().filter((guest) => guest.notInQemu === undefined).map((guest) => [guest.name, guest] as const),
  )('%s', async (_, guest) => {
    const mine = runInTenon(guest, engine!)
    expect(compareRuns(guest, mine, await runInQemu(guest), ignoredFields(guest.name))).toEqual([])
  })
})
