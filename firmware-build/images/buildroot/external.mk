include $(sort $(wildcard $(BR2_EXTERNAL_POSDX_PATH)/package/*/*.mk))
