import { describe, expect, it } from 'vitest'
import { MarkerReader, parseMarker } from './markers.ts'
import type { Marker } from './markers.ts'

describe('parseMarker', () => {
  it('reads markers', () => {
    expect(parseMarker('@@bench user-space\r')).toEqual({ event: 'user-space', workload: '', text: '' })
    expect(parseMarker('@@bench begin loop')).toEqual({ event: 'begin', workload: 'loop', text: '' })
    expect(parseMarker('@@bench seconds sieve 0.250000000 7.10 7.40\r')).toEqual({ event: 'seconds', workload: 'sieve', text: '0.250000000 7.10 7.40' })
    expect(parseMarker('@@bench answer sha256 3b6a  -\r')).toEqual({ event: 'answer', workload: 'sha256', text: '3b6a  -' })
  })

  it('finds one behind what the kernel left on the line', () => {
    expect(parseMarker('[    1.2] random: @@bench end awk')).toEqual({ event: 'end', workload: 'awk', text: '' })
  })

  it.each(['', 'begin loop', '@@bench', '@@bench soon', '@@benchmark begin loop'])('takes %j for no marker', line => {
    expect(parseMarker(line)).toBeUndefined()
  })
})

describe('MarkerReader', () => {
  const read = (...pieces: string[]): string[] => {
    const events: string[] = []
    const reader = new MarkerReader(({ event, workload }: Marker) => events.push(`${event} ${workload}`))
    pieces.forEach(piece => reader.push(piece))
    return events
  }

  it('puts lines together', () => {
    expect(read('boot\n@@be', 'nch begin loop\r', '\n@@bench end loop\n')).toEqual(['begin loop', 'end loop'])
  })

  it('waits for the line\'s end', () => {
    expect(read('@@bench begin lo')).toEqual([])
  })

  it('keeps no endless line', () => {
    expect(read('x'.repeat(100_000), '@@bench begin loop\n')).toEqual(['begin loop'])
  })
})
