export function fcos(x87: import('./registers.ts').X87): void { x87.begin() }
export function fptan(x87: import('./registers.ts').X87): void { x87.begin() }
export function fsin(x87: import('./registers.ts').X87): void { x87.begin() }
export function fsincos(x87: import('./registers.ts').X87): void { x87.begin() }
