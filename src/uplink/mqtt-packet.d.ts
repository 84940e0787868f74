declare module 'mqtt-packet/constants.js' {
  const constants: Record<'MQTT5_PUBACK_PUBREC_CODES' | 'MQTT5_DISCONNECT_CODES', Record<number, string>>;
  export default constants;
}
