// What the dashboard's variables leave of each kind of series.

const gateway = 'instance=~"$instance"';

export const onGateway = gateway;
export const ofSilo = `${gateway}, tenant=~"$tenant", silo=~"$silo"`;
export const ofBus = `${gateway}, bus=~"$bus"`;
export const ofDevice = `${ofSilo}, bus=~"$bus"`;
