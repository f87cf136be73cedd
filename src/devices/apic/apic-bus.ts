import type { MessageSink } from '../../machine/interrupts.ts'
import { DeliveryMode } from './registers.ts'

/**
 * What carries interrupt messages between local APICs, I/O APICs and devices with MSI. Source: SDM Vol. 3A §11.6.2 "Determining IPI
 * Destination" and §11.11 "Message Signalled Interrupts".
 *
 * Left out on purpose: redirection hints other than lowest priority, and interrupt remapping.
 */
export const BROADCAST = 0xffffffff

/** A local APIC as the bus sees it. */
export interface BusAgent {
  /** `destination` is an APIC ID or a logical destination; BROADCAST has been dealt with. */
  matches(destination: number, logical: boolean): boolean
  /** The lower, the more willing to take a lowest-priority interrupt. */
  readonly arbitrationPriority: number
  /** False if it does not take the message. */
  accept(mode: number, vector: number, levelTriggered: boolean): boolean
}

export class ApicBus implements MessageSink {
  private readonly agents: BusAgent[] = []
  private readonly eoiListeners: ((vector: number) => void)[] = []

  attach(agent: BusAgent): void { this.agents.push(agent) }

  /** I/O APICs hear of the end of level-triggered interrupts. */
  onEoi(listener: (vector: number) => void): void { this.eoiListeners.push(listener) }

  broadcastEoi(vector: number): void {
    for (const listener of this.eoiListeners) listener(vector)
  }

  /** Delivers to one destination: true if a local APIC took it. */
  deliver(destination: number, logical: boolean, mode: number, vector: number, levelTriggered: boolean): boolean {
    if (mode === DeliveryMode.LOWEST_PRIORITY) return this.deliverLowest(destination, logical, vector, levelTriggered)
    let taken = false
    for (const agent of this.agents) {
      const meant = destination === BROADCAST || agent.matches(destination, logical)
      if (meant && agent.accept(mode, vector, levelTriggered)) taken = true
    }
    return taken
  }

  deliverToOthers(sender: BusAgent, mode: number, vector: number): void {
    for (const agent of this.agents) if (agent !== sender) agent.accept(mode, vector, false)
  }

  /** From devices whose destinations have eight bits: 0xff is everyone. */
  deliverNarrow(destination: number, logical: boolean, mode: number, vector: number, levelTriggered: boolean): boolean {
    return this.deliver(destination === 0xff ? BROADCAST : destination, logical, mode, vector, levelTriggered)
  }

  /** Address bits 31:20 are 0xfee; 19:12 destination, 2 logical. Data: vector 7:0, delivery mode 10:8, trigger mode 15. */
  sendMessage(address: number, data: number): void {
    if (address >>> 20 !== 0xfee) return
    this.deliverNarrow(address >>> 12 & 0xff, (address & 4) !== 0, data >>> 8 & 7, data & 0xff, (data & 0x8000) !== 0)
  }

  private deliverLowest(destination: number, logical: boolean, vector: number, levelTriggered: boolean): boolean {
    let chosen: BusAgent | undefined
    for (const agent of this.agents) {
      if (destination !== BROADCAST && !agent.matches(destination, logical)) continue
      if (chosen === undefined || agent.arbitrationPriority < chosen.arbitrationPriority) chosen = agent
    }
    return chosen !== undefined && chosen.accept(DeliveryMode.FIXED, vector, levelTriggered)
  }
}
