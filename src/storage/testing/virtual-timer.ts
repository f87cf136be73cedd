import type { Timer } from '../format.ts'

/** Time that passes only when a test says so, or by itself whenever somebody waits (`running`). */
export class VirtualTimer implements Timer {
  private time = 0
  private readonly alarms: { readonly at: number, readonly callback: () => void }[] = []
  private readonly running: boolean

  constructor(running = false) { this.running = running }

  now(): number { return this.time }

  after(milliseconds: number, callback: () => void): () => void {
    const alarm = { at: this.time + milliseconds, callback }
    this.alarms.push(alarm)
    if (this.running) setImmediate(() => this.runTo(alarm.at))
    return () => {
      const at = this.alarms.indexOf(alarm)
      if (at >= 0) this.alarms.splice(at, 1)
    }
  }

  /** Lets time pass, and between alarms whatever they have set going. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.time + milliseconds
    await new Promise(resolve => setImmediate(resolve))
    while (this.alarms.some(alarm => alarm.at <= end)) {
      this.runTo(Math.min(...this.alarms.map(alarm => alarm.at)))
      await new Promise(resolve => setImmediate(resolve))
    }
    this.time = end
  }

  private runTo(time: number): void {
    this.time = Math.max(this.time, time)
    const due = this.alarms.filter(alarm => alarm.at <= this.time)
    for (const alarm of due) {
      this.alarms.splice(this.alarms.indexOf(alarm), 1)
      alarm.callback()
    }
  }
}
