/** Hostile guests: garbage as code in every mode, writes to every port and to device memory. No host exception, no hang. */
import { describe, expect, it } from 'vitest'
import { gpa } from '../../src/base/addresses.ts'
import { PROFILE } from '../../src/cpu/interpreter/profile-data.ts'
import { TestRandom } from '../../src/cpu/testing/rig.ts'
import { mem } from './assembler.ts'
import { Place, Selector } from './layout.ts'
import { Guest } from './monitor.ts'
import type { Mode } from './monitor.ts'
import { GuestRun, engineModule } from './tenon.ts'

const engine = engineModule(PROFILE)
/** Slices of 20,000 instructions: a guest that loops is given up. */
const SLICES = 25
const PROBES = 40

/** Jumps into random bytes, at level 0 or 3, again and again: exceptions lead to the next place. */
function garbageGuest(mode: Mode, ring: 0 | 3, seed: number): Guest {
  const g = new Guest('garbage', mode)
  const { a } = g
  const random = new TestRandom(seed)
  const [start, size] = mode === 'real' ? [0xc000, 0x3000] : [Place.USER_CODE, 0x8000]
  for (let offset = 0; offset < size; offset += 4) g.poke(start + offset, random.next(), 4)
  for (let n = 0; n < PROBES; n++) {
    const next = a.fresh('next')
    const target = start + random.below(size)
    g.begin('garbage', next, {})
    if (ring === 3) g.enterUser(mode === 'long' ? Selector.USER_CODE64 : Selector.USER_CODE32, target)
    else {
      a.mov('eax', target)
      a.jmpTo(mode === 'long' ? 'rax' : mode === 'real' ? 'ax' : 'eax')
    }
    a.label(next)
  }
  return g
}

describe('garbage as code', () => {
  const modes: readonly (readonly [Mode, 0 | 3])[] = [
    ['real', 0], ['protected', 0], ['protected', 3], ['legacy', 0], ['legacy', 3], ['pae', 3], ['long', 0], ['long', 3],
  ]
  it.each(modes)('%s, level %i', (mode, ring) => {
    for (let seed = 1; seed <= 6; seed++) {
      const ending = new GuestRun(garbageGuest(mode, ring, seed * 7919), engine).finish(SLICES)
      expect(['exit', 'shutdown', 'halted', 'reset', 'hung'], `seed ${seed}`).toContain(ending)
    }
  })

  it('user programs reach nothing of the monitor: all of them end, or are given up in a loop', () => {
    for (const mode of ['legacy', 'pae', 'long'] as const) for (let seed = 11; seed <= 14; seed++) {
      const ending = new GuestRun(garbageGuest(mode, 3, seed * 104729), engine).finish(SLICES)
      expect(['exit', 'hung'], `${mode}, seed ${seed}`).toContain(ending)
    }
  })
})

/** Writes and reads every port from the one in memory on, in all sizes; the number is in memory before the port is touched. */
function portGuest(): Guest {
  const g = new Guest('ports', 'protected')
  const { a } = g
  const loop = a.fresh('ports')
  a.label(loop)
  a.mov('edx', mem(Place.DATA))
  a.add(mem(Place.DATA), 'ebp')
  a.mov('ebp', 1)
  a.mov('edx', mem(Place.DATA))
  a.cmp('edx', 0x10000)
  a.jcc('e', 'ports.end')
  a.cmp('edx', 0xf4)
  a.jcc('e', loop)
  a.mov('ebx', 0x9e3779b9)
  a.raw([0x0f, 0xaf], 3, 'edx', 32)
  a.mov('eax', 'ebx')
  // OUT of 8, 16 and 32 bits, and IN.
  a.db(0xee, 0x66, 0xef, 0xef, 0xec, 0x66, 0xed, 0xed)
  a.jmp(loop)
  a.label('ports.end')
  return g
}

describe('devices', () => {
  it('take any value at any port', () => {
    let port = 0
    let ending = ''
    for (let machines = 0; machines < 40 && ending !== 'exit'; machines++) {
      const guest = portGuest()
      guest.poke(Place.DATA, port, 4)
      const run = new GuestRun(guest, engine)
      ending = run.finish(400)
      expect(['exit', 'reset'], `port 0x${port.toString(16)}`).toContain(ending)
      port = run.machine.memory.readU32(gpa(Place.DATA)) + 1
    }
    expect(ending).toBe('exit')
  })

  it('take any access to their memory', () => {
    for (let seed = 1; seed <= 4; seed++) {
      const g = new Guest('device memory', 'protected')
      const random = new TestRandom(seed * 31337)
      const bases = [0xfee00000, 0xfec00000, 0xb0000000, 0xc0000000, 0xa0000, 0xfffff000, 0x80000000]
      for (let n = 0; n < 1500; n++) {
        // The interrupt command register could restart the processor: that is another test's.
        const offset = random.below(0x1000)
        const base = random.pick(bases)
        if (base === 0xfee00000 && offset >= 0x2f0 && offset < 0x320) continue
        g.a.mov('ebx', base + offset >>> 0)
        g.a.mov('eax', random.next())
        g.a.db(...random.pick([
          [0x8b, 0x03], [0x89, 0x03], [0x8a, 0x03], [0x88, 0x03], [0x66, 0x89, 0x03], [0x01, 0x03], [0xf0, 0x0f, 0xc7, 0x0b],
        ]))
      }
      expect(new GuestRun(g, engine).finish(SLICES)).toBe('exit')
    }
  })
})
