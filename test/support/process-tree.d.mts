export interface ProcessLook {
  readonly state: string;
  readonly parent: number;
  readonly startTime: string;
}
export function lookAt(pid: number): ProcessLook | undefined;
export function childrenOf(parent: number): number[];
export function signal(pid: number, name: NodeJS.Signals): boolean;
export function stopTree(root: number): number[];
export function continueTree(root: number): void;
export function killTree(root: number): number[];
export function removeSharedMemory(dataDirectory: string): void;
